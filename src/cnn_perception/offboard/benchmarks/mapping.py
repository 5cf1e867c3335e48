"""The mapping benchmark: equal maps first, then all contenders frame by frame in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
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
from cnn_perception.offboard.benchmarks.race import Progress
from cnn_perception.offboard.benchmarks.spread import spread
from cnn_perception.types import Float64Array

__all__ = ["MODES", "differences", "measure"]

MODES = {"full": False, "discretized": True}
"""Whether `discretize` is set, by the name of the mode."""

REFERENCE = "octomap-python"


def measure(
    frames: Sequence[BenchmarkFrame],
    config: MapperConfig,
    mode: str,
    rounds: int,
    progress: Progress,
) -> tuple[dict[str, Any], str]:
    """Compare and time the contenders; returns the result, and why C++ OctoMap is missing, if so.

    The result is as JSON can hold it: the size of the final map, and the figures of each contender.
    first_frame_ms is the very first frame after warming up, wall clock: not part of the rounds.
    heap_bytes is what a map really takes where that is known, memory_bytes what the contender says;
    times_faster is the median of the frames' ratios to octomap-python.

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
    known_cells = int(volumes.sum())
    names = [each.name for each in contenders]
    wall_ms, cpu_ms = 1e3 * times
    reference_ms = cpu_ms[..., names.index(REFERENCE)]
    rows: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(names):
        memory_bytes, heap_bytes = memory[index]
        row = rows[name] = {
            "different_cells": different[index],
            "first_frame_ms": round(1e3 * first[index], 3),
            "memory_bytes": memory_bytes,
            "heap_bytes": heap_bytes,
            "memory_bytes_per_cell": round(memory_bytes / max(known_cells, 1), 2),
        }
        if rounds:
            own_ms = cpu_ms[..., index]
            row["cpu_ms"] = spread(own_ms)
            row["wall_ms"] = spread(wall_ms[..., index])
            row["times_faster"] = round(float(np.median(reference_ms / own_ms)), 2)
            row["samples"] = {"cpu_ms": own_ms.round(3).tolist()}
    result = {
        "resolution": config.resolution,
        "mode": mode,
        "equal": not any(different),
        "occupied_cells": int(volumes[final.occupied].sum()),
        "known_cells": known_cells,
        "contenders": rows,
    }
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
