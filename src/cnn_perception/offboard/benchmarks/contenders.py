"""Who takes part in the mapping benchmark: this package's engine, octomap-python, C++ OctoMap."""

from __future__ import annotations

import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.errors import PerceptionError
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.octomap_tree import new_tree, set_sensor_model
from cnn_perception.offboard.benchmarks.frames import BenchmarkFrame

__all__ = [
    "Elapsed",
    "MapContender",
    "OctomapCpp",
    "OctomapPython",
    "VoxelClouds",
    "VoxelDepth",
    "build_octomap_cpp",
]

_SOURCE = Path(__file__).with_name("octomap_insert.cpp")


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Seconds that one scan took: on the wall clock, and of the processor's time."""

    wall: float
    cpu: float


class MapContender(Protocol):
    """One occupancy map, and the clock over its insertion."""

    name: str

    def insert(self, frame: BenchmarkFrame) -> Elapsed:
        """Take in a frame; preparing the input in the contender's own form is not timed."""
        ...

    def leaves(self) -> Leaves:
        """Return the map."""
        ...

    def memory_bytes(self) -> int:
        """Return the bytes of the map, as the contender counts them."""
        ...

    def heap_bytes(self) -> int | None:
        """Return the bytes that the map really takes from the heap, where that can be told."""
        ...

    def clear(self) -> None:
        """Forget the map."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class _Stopwatch:
    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> Elapsed:
        return Elapsed(time.perf_counter() - self._wall, time.process_time() - self._cpu)


class _Voxel:
    """The engine `voxel`, however it is fed."""

    def __init__(self, config: MapperConfig) -> None:
        self._map = OccupancyMap(config)
        self._map.warm_up()

    def leaves(self) -> Leaves:
        """See MapContender."""
        return self._map.leaves()

    def memory_bytes(self) -> int:
        """See MapContender."""
        with self._map.blocks() as store:
            return store.memory_bytes()

    def heap_bytes(self) -> int | None:
        """See MapContender: its arrays are all there is."""
        return self.memory_bytes()

    def clear(self) -> None:
        """See MapContender."""
        self._map.reset()

    def close(self) -> None:
        """See MapContender."""


class VoxelDepth(_Voxel):
    """The engine `voxel` with depth images, as the mapper node feeds it."""

    name = "voxel"

    def insert(self, frame: BenchmarkFrame) -> Elapsed:
        """See MapContender. Projecting the pixels is part of the time."""
        watch = _Stopwatch()
        self._map.integrate(frame.scan)
        return watch.stop()


class VoxelClouds(_Voxel):
    """The engine `voxel` with the points of those images, as from a PointCloud2."""

    name = "voxel, clouds"

    def insert(self, frame: BenchmarkFrame) -> Elapsed:
        """See MapContender."""
        watch = _Stopwatch()
        self._map.insert_points(frame.points, frame.origin)
        return watch.stop()


class OctomapPython:
    """octomap-python's own insertPointCloud, without this package's checks before it."""

    name = "octomap-python"

    def __init__(self, config: MapperConfig) -> None:
        self._config = config
        self.clear()

    def insert(self, frame: BenchmarkFrame) -> Elapsed:
        """See MapContender."""
        points, origin = frame.points.astype(np.float64), frame.origin.astype(np.float64)
        tree, config = self._tree, self._config
        watch = _Stopwatch()
        tree.insertPointCloud(
            points, origin, maxrange=config.max_range, discretize=config.discretize
        )
        return watch.stop()

    def leaves(self) -> Leaves:
        """See MapContender."""
        return octomap_codec.decode_file(self._tree.write()).leaves

    def memory_bytes(self) -> int:
        """See MapContender."""
        return int(self._tree.memoryUsage())

    def heap_bytes(self) -> int | None:
        """See MapContender: it shares the heap of this process."""
        return None

    def clear(self) -> None:
        """See MapContender."""
        self._tree: Any = new_tree(self._config.resolution)
        set_sensor_model(self._tree, self._config)

    def close(self) -> None:
        """See MapContender."""


class OctomapCpp:
    """Debian's liboctomap in a process of its own, which times itself."""

    name = "OctoMap C++"

    def __init__(self, config: MapperConfig, program: Path) -> None:
        arguments = [
            config.resolution,
            config.max_range,
            int(config.discretize),
            config.probability_hit,
            config.probability_miss,
            config.clamp_min,
            config.clamp_max,
        ]
        self._process = subprocess.Popen(
            [str(program), *(repr(value) for value in arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def insert(self, frame: BenchmarkFrame) -> Elapsed:
        """See MapContender."""
        origin = frame.origin.astype("<f4").tobytes()
        points = np.ascontiguousarray(frame.points, "<f4").tobytes()
        answer = self._ask(b"i" + struct.pack("<Q", len(frame.points)) + origin + points, 16)
        wall, cpu = struct.unpack("<qq", answer)
        return Elapsed(wall * 1e-9, cpu * 1e-9)

    def leaves(self) -> Leaves:
        """See MapContender."""
        (size,) = struct.unpack("<Q", self._ask(b"w", 8))
        return octomap_codec.decode_file(self._ask(b"", size)).leaves

    def memory_bytes(self) -> int:
        """See MapContender."""
        return self._memory()[0]

    def heap_bytes(self) -> int | None:
        """See MapContender."""
        return self._memory()[1]

    def clear(self) -> None:
        """See MapContender."""
        self._ask(b"c", 0)

    def close(self) -> None:
        """See MapContender."""
        self._process.communicate()

    def _memory(self) -> tuple[int, int]:
        counted, taken = struct.unpack("<QQ", self._ask(b"m", 16))
        return int(counted), int(taken)

    def _ask(self, command: bytes, size: int) -> bytes:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(command)
            process.stdin.flush()
            answer = process.stdout.read(size)
        except BrokenPipeError:
            answer = b""
        if len(answer) != size:
            raise PerceptionError(f"the C++ contender ended with code {process.wait()}")
        return answer


def build_octomap_cpp(folder: Path) -> Path | str:
    """Compile the C++ contender into a folder; returns the program, or why there is none."""
    program = folder / "octomap_insert"
    command = ["g++", "-std=c++17", "-O3", "-DNDEBUG", str(_SOURCE), "-o", str(program)]
    try:
        done = subprocess.run(
            [*command, "-loctomap", "-loctomath"], capture_output=True, text=True, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"g++ cannot be run ({error})"
    if done.returncode != 0:
        first = next((line for line in done.stderr.splitlines() if "error" in line), "g++ failed")
        return f"it needs liboctomap-dev ({first})"
    return program
