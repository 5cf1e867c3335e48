"""Compiled counts of the cells that boxes meet, along the axes of the map or in any orientation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.query_kernels import value_at
from cnn_perception.mapping.voxel_kernels import BLOCKS, Store, find
from cnn_perception.types import Float64Array

__all__ = ["count_in_boxes", "count_in_oriented_box"]

_KEY_ORIGIN = 1 << 15
_LAST_KEY = (1 << 16) - 1
# Added to the cosines between axes, so that rounding separates no box from a cell that it meets.
_SLACK = 1e-9


@inlined
def _count(
    store: Store, slot: int, x0: int, x1: int, y0: int, y1: int, z0: int, z1: int
) -> tuple[int, int]:
    """Return how many cells of a part of a block are occupied, and how many are free."""
    row = store.rows[slot]
    if row < 0:
        value = store.constants[slot]
        volume = (x1 - x0 + 1) * (y1 - y0 + 1) * (z1 - z0 + 1)
        return (volume if value >= 0 else 0), (volume if value < 0 else 0)
    occupied, free = 0, 0
    for z in range(z0, z1 + 1):
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                value = store.values[row, (z << 6) | (y << 3) | x]
                occupied += value >= 0
                free += value < 0
    return occupied, free


@kernel
def count_in_boxes(
    store: Store,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Count the cells with low <= key <= high, (N, 3) each, that are occupied and free, (N, 2)."""
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    blocks = store.counts[BLOCKS]
    for i in range(low.shape[0]):
        counts[i, :] = 0
        within = 1.0
        for axis in range(3):
            first[axis] = max(low[i, axis], 0)
            last[axis] = min(high[i, axis], _LAST_KEY)
            within *= max((last[axis] >> 3) - (first[axis] >> 3) + 1, 0)
        everything = within > blocks
        columns = (last[2] >> 3) - (first[2] >> 3) + 1
        rows = (last[1] >> 3) - (first[1] >> 3) + 1
        # Either the blocks of the box are looked up, or the blocks of the map, if those are fewer.
        for item in range(blocks if everything else np.int64(within)):
            if everything:
                slot = item
                code = store.codes[slot]
            else:
                x = (first[0] >> 3) + item // (rows * columns)
                y = (first[1] >> 3) + item // columns % rows
                z = (first[2] >> 3) + item % columns
                code = (x << 26) | (y << 13) | z
                slot = find(store, code)
            if slot < 0:
                continue
            x, y, z = (code >> 26) << 3, ((code >> 13) & 8191) << 3, (code & 8191) << 3
            x0, x1 = max(first[0] - x, 0), min(last[0] - x, 7)
            y0, y1 = max(first[1] - y, 0), min(last[1] - y, 7)
            z0, z1 = max(first[2] - z, 0), min(last[2] - z, 7)
            if x0 <= x1 and y0 <= y1 and z0 <= z1:
                occupied, free = _count(store, slot, x0, x1, y0, y1, z0, z1)
                counts[i, 0] += occupied
                counts[i, 1] += free


@inlined
def _reaches(
    half: Float64Array, rotation: Float64Array, edge: float, reaches: Float64Array
) -> None:
    """Write how far apart along each of the 15 axes a box and a cube's centres may be to meet.

    Separating axes of two boxes: Gottschalk, Lin & Manocha 1996. The world's axes are 0 to 2, the
    box's 3 to 5, then the cross products, world axis by world axis.
    """
    cosines = np.abs(rotation) + _SLACK
    for i in range(3):
        reaches[i] = 0.5 * edge
        reaches[3 + i] = half[i]
        for j in range(3):
            reaches[i] += half[j] * cosines[i, j]
            reaches[3 + i] += 0.5 * edge * cosines[j, i]
            reaches[6 + 3 * i + j] = (
                0.5 * edge * (cosines[(i + 1) % 3, j] + cosines[(i + 2) % 3, j])
                + half[(j + 1) % 3] * cosines[i, (j + 2) % 3]
                + half[(j + 2) % 3] * cosines[i, (j + 1) % 3]
            )


@inlined
def _meets(x: float, y: float, z: float, rotation: Float64Array, reaches: Float64Array) -> bool:
    """Return whether a cube meets the box, given its centre relative to the box's."""
    if abs(x) > reaches[0] or abs(y) > reaches[1] or abs(z) > reaches[2]:
        return False
    for j in range(3):
        a, b, c = rotation[0, j], rotation[1, j], rotation[2, j]
        if abs(x * a + y * b + z * c) > reaches[3 + j]:
            return False
        if (
            abs(z * b - y * c) > reaches[6 + j]
            or abs(x * c - z * a) > reaches[9 + j]
            or abs(y * a - x * b) > reaches[12 + j]
        ):
            return False
    return True


@kernel
def count_in_oriented_box(
    store: Store,
    center: Float64Array,
    half: Float64Array,
    rotation: Float64Array,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    resolution: float,
    counts: NDArray[np.int64],
) -> None:
    """Count the cells that share a point with a box: occupied, free, all; (3,).

    rotation: the box's axes in its columns; half: half its edge lengths; low, high: keys (3,) of
    the axis-aligned box around it. Cells beyond the map are counted among all.
    """
    block_reaches, reaches = np.empty(15), np.empty(15)
    _reaches(half, rotation, 8 * resolution, block_reaches)
    _reaches(half, rotation, resolution, reaches)
    for bx in range(low[0] >> 3, (high[0] >> 3) + 1):
        for by in range(low[1] >> 3, (high[1] >> 3) + 1):
            for bz in range(low[2] >> 3, (high[2] >> 3) + 1):
                x = np.float64(8 * bx + 4 - _KEY_ORIGIN) * resolution - center[0]
                y = np.float64(8 * by + 4 - _KEY_ORIGIN) * resolution - center[1]
                z = np.float64(8 * bz + 4 - _KEY_ORIGIN) * resolution - center[2]
                if not _meets(x, y, z, rotation, block_reaches):
                    continue
                slot = np.int64(-1)
                if 0 <= bx < 8192 and 0 <= by < 8192 and 0 <= bz < 8192:
                    slot = find(store, (bx << 26) | (by << 13) | bz)
                for index in range(512):
                    cell_x = x + ((index & 7) - 3.5) * resolution
                    cell_y = y + (((index >> 3) & 7) - 3.5) * resolution
                    cell_z = z + ((index >> 6) - 3.5) * resolution
                    if _meets(cell_x, cell_y, cell_z, rotation, reaches):
                        value = value_at(store, slot, index)
                        counts[0] += value >= 0
                        counts[1] += value < 0
                        counts[2] += 1
