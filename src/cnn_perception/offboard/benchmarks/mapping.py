"""The mapping benchmark: equal maps first, then all contenders frame by frame in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.offboard.benchmarks.contenders import (
    MapContender,
    OctomapCpp,
    OctomapPython,
    VoxelClouds,
    VoxelDepth,
    build_octomap_cpp,
)
from cnn_perception.offboard.benchmarks.frames import BenchmarkFrame
from cnn_perception.offboard.benchmarks.spread import spread
from cnn_perception.types import Float64Array

__all__ = ["MODES", "Measurement", "ModeResult", "Progress", "differences", "measure"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much of it is."""

MODES = {"full": False, "discretized": True}
"""Whether `discretize` is set, by the name of the mode."""

REFERENCE = "octomap-python"


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One contender's times, float64 (rounds, frames) milliseconds, and its map's size in bytes.

    first_ms is its very first frame after warming up, wall clock: not part of the rounds.
    heap_bytes is what the map really takes where that is known, memory_bytes what it says.
    """

    name: str
    wall_ms: Float64Array
    cpu_ms: Float64Array
    first_ms: float
    memory_bytes: int
    heap_bytes: int | None
    different_cells: int


@dataclass(frozen=True, slots=True, eq=False)
class ModeResult:
    """One resolution in one mode: the size of the final map, and all contenders."""

    resolution: float
    mode: str
    occupied_cells: int
    known_cells: int
    contenders: tuple[Measurement, ...]

    @property
    def equal(self) -> bool:
        """Whether all contenders made the same map."""
        return all(each.different_cells == 0 for each in self.contenders)

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them; ratios are medians of per-frame ratios."""
        reference = next(each for each in self.contenders if each.name == REFERENCE)
        return {
            "resolution": self.resolution,
            "mode": self.mode,
            "equal": self.equal,
            "occupied_cells": self.occupied_cells,
            "known_cells": self.known_cells,
            "contenders": {
                each.name: _summary(each, reference, self.known_cells) for each in self.contenders
            },
        }


def measure(
    frames: Sequence[BenchmarkFrame],
    config: MapperConfig,
    mode: str,
    rounds: int,
    progress: Progress,
) -> tuple[ModeResult, str]:
    """Compare and time the contenders; returns the result, and why C++ OctoMap is missing, if so.

    A round maps all frames, from an empty map. Before the timed ones, one round proves after each
    frame that the maps are equal, key by key and bit by bit; unequal maps are not timed.
    """
    config = replace(config, discretize=MODES[mode])
    with _contenders(config) as (contenders, lacking):
        first, different, final = _prove(contenders, frames, progress)
        memory = [(each.memory_bytes(), each.heap_bytes()) for each in contenders]
        if any(different):
            rounds = 0
        times = _race(contenders, frames, rounds, progress)
        volumes = final.spans**3
        wall_ms, cpu_ms = 1e3 * times
        measurements = tuple(
            Measurement(
                contender.name,
                wall_ms[..., index],
                cpu_ms[..., index],
                1e3 * first[index],
                *memory[index],
                different[index],
            )
            for index, contender in enumerate(contenders)
        )
    result = ModeResult(
        config.resolution,
        mode,
        int(volumes[final.occupied].sum()),
        int(volumes.sum()),
        measurements,
    )
    return result, lacking


def differences(ours: Leaves, theirs: Leaves) -> int:
    """Count the finest cells that two maps do not share, or whose log-odds differ in any bit."""
    if (
        np.array_equal(ours.keys, theirs.keys)
        and np.array_equal(ours.depths, theirs.depths)
        and np.array_equal(ours.log_odds.view(np.uint32), theirs.log_odds.view(np.uint32))
    ):
        return 0
    maps = []
    for leaves in (ours, theirs):
        finest = leaves.finest()
        keys = (finest.keys.astype(np.int64) << np.array([32, 16, 0])).sum(axis=1)
        maps.append((keys, finest.log_odds.view(np.uint32)))
    (keys, values), (other_keys, other_values) = maps
    _, mine, yours = np.intersect1d(keys, other_keys, assume_unique=True, return_indices=True)
    lonely = len(keys) + len(other_keys) - 2 * len(mine)
    return int(lonely + np.count_nonzero(values[mine] != other_values[yours]))


@contextmanager
def _contenders(config: MapperConfig) -> Iterator[tuple[list[MapContender], str]]:
    """Start everybody; the second value says why C++ OctoMap is missing, else it is empty."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = build_octomap_cpp(folder)
        contenders: list[MapContender] = [
            VoxelDepth(config),
            VoxelClouds(config),
            OctomapPython(config),
        ]
        lacking = ""
        if isinstance(program, Path):
            contenders.append(OctomapCpp(config, program))
        else:
            lacking = program
        for contender in contenders:
            stack.callback(contender.close)
        yield contenders, lacking


def _prove(
    contenders: Sequence[MapContender], frames: Sequence[BenchmarkFrame], progress: Progress
) -> tuple[list[float], list[int], Leaves]:
    """Map all frames; return first times (s), cells that ever differed, and the final map."""
    first = [0.0] * len(contenders)
    different = [0] * len(contenders)
    reference = next(each for each in contenders if each.name == REFERENCE)
    expected = Leaves.empty()
    for number, frame in enumerate(frames):
        progress("proving equal maps", number, len(frames))
        for index, contender in enumerate(contenders):
            elapsed = contender.insert(frame)
            if number == 0:
                first[index] = elapsed.wall
        expected = reference.leaves()
        for index, contender in enumerate(contenders):
            if contender is not reference:
                found = differences(contender.leaves(), expected)
                different[index] = max(different[index], found)
    return first, different, expected


def _race(
    contenders: Sequence[MapContender],
    frames: Sequence[BenchmarkFrame],
    rounds: int,
    progress: Progress,
) -> Float64Array:
    """Return wall and processor seconds, float64 (2, rounds, frames, contenders)."""
    times = np.zeros((2, rounds, len(frames), len(contenders)))
    for turn in range(rounds):
        for contender in contenders:
            contender.clear()
        for number, frame in enumerate(frames):
            progress("timing", turn * len(frames) + number, rounds * len(frames))
            for place in range(len(contenders)):
                # Everybody follows everybody else at some time: caches are left in a state.
                index = (place + number) % len(contenders)
                elapsed = contenders[index].insert(frame)
                times[:, turn, number, index] = elapsed.wall, elapsed.cpu
    return times


def _summary(each: Measurement, reference: Measurement, known_cells: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "different_cells": each.different_cells,
        "first_frame_ms": round(each.first_ms, 3),
        "memory_bytes": each.memory_bytes,
        "heap_bytes": each.heap_bytes,
        "memory_bytes_per_cell": round(each.memory_bytes / max(known_cells, 1), 2),
    }
    if each.cpu_ms.size:
        found["cpu_ms"] = spread(each.cpu_ms)
        found["wall_ms"] = spread(each.wall_ms)
        found["times_faster"] = round(float(np.median(reference.cpu_ms / each.cpu_ms)), 2)
        found["samples"] = {"cpu_ms": each.cpu_ms.round(3).tolist()}
    return found
