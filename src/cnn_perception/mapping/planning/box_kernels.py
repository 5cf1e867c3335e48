"""Compiled counts of the cells that boxes meet, along the axes of the map or in any orientation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import LAST_KEY
from cnn_perception.mapping.voxels.cell_kernels import block_code, block_corner, center_of
from cnn_perception.mapping.voxels.voxel_kernels import BLOCKS, Store, find

__all__ = ["count_in_boxes", "count_in_oriented_box"]


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
    values = store.values
    occupied, free = 0, 0
    for z in range(z0, z1 + 1):
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                value = values[row, (z << 6) | (y << 3) | x]
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
            last[axis] = min(high[i, axis], LAST_KEY)
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
                code = block_code(x, y, z)
                slot = find(store, code)
            if slot < 0:
                continue
            x, y, z = block_corner(code)
            x0, x1 = max(first[0] - x, 0), min(last[0] - x, 7)
            y0, y1 = max(first[1] - y, 0), min(last[1] - y, 7)
            z0, z1 = max(first[2] - z, 0), min(last[2] - z, 7)
            if x0 <= x1 and y0 <= y1 and z0 <= z1:
                occupied, free = _count(store, slot, x0, x1, y0, y1, z0, z1)
                counts[i, 0] += occupied
                counts[i, 1] += free


@inlined
def _meets(
    x: float,
    y: float,
    z: float,
    axes: tuple[tuple[float, float, float], ...],
    half: tuple[float, float, float],
    reaches: tuple[float, ...],
) -> bool:
    """Return whether a cube meets the box, given its centre relative to the box's.

    No axis may separate them by more than its reach: the world's (0 to 2), the box's (3 to 5), and
    their cross products, those with the box's first axis first (Gottschalk, Lin & Manocha 1996).
    """
    if abs(x) > reaches[0] or abs(y) > reaches[1] or abs(z) > reaches[2]:
        return False
    (a, b, c), (d, e, f), (g, h, i) = axes
    first, second, third = x * a + y * b + z * c, x * d + y * e + z * f, x * g + y * h + z * i
    if abs(first) <= half[0] and abs(second) <= half[1] and abs(third) <= half[2]:
        return True
    if abs(first) > reaches[3] or abs(second) > reaches[4] or abs(third) > reaches[5]:
        return False
    return not (
        abs(z * b - y * c) > reaches[6]
        or abs(x * c - z * a) > reaches[7]
        or abs(y * a - x * b) > reaches[8]
        or abs(z * e - y * f) > reaches[9]
        or abs(x * f - z * d) > reaches[10]
        or abs(y * d - x * e) > reaches[11]
        or abs(z * h - y * i) > reaches[12]
        or abs(x * i - z * g) > reaches[13]
        or abs(y * g - x * h) > reaches[14]
    )


@kernel
def count_in_oriented_box(
    store: Store,
    center: tuple[float, float, float],
    axes: tuple[tuple[float, float, float], ...],
    half: tuple[float, float, float],
    reaches: tuple[float, ...],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    resolution: float,
) -> tuple[int, int, int]:
    """Return how many cells share a point with a box: occupied, free, all.

    axes: the box's; half: half its edges; reaches: how far the centres of box and cell may be apart
    along each of the 15 axes of `_meets`; low, high: keys of the axis-aligned box around it. Cells
    beyond the map are counted among all.
    """
    rows, constants, values = store.rows, store.constants, store.values
    occupied, free, total = 0, 0, 0
    for bx in range(low[0] >> 3, (high[0] >> 3) + 1):
        for by in range(low[1] >> 3, (high[1] >> 3) + 1):
            for bz in range(low[2] >> 3, (high[2] >> 3) + 1):
                slot, row, equal = np.int64(-1), np.int64(-1), np.float32(np.nan)
                if (bx | by | bz) >> 13 == 0:
                    slot = find(store, block_code(bx, by, bz))
                if slot >= 0:
                    row, equal = np.int64(rows[slot]), constants[slot]
                for kz in range(max(8 * bz, low[2]), min(8 * bz + 7, high[2]) + 1):
                    z = center_of(kz, resolution) - center[2]
                    for ky in range(max(8 * by, low[1]), min(8 * by + 7, high[1]) + 1):
                        y = center_of(ky, resolution) - center[1]
                        for kx in range(max(8 * bx, low[0]), min(8 * bx + 7, high[0]) + 1):
                            x = center_of(kx, resolution) - center[0]
                            if _meets(x, y, z, axes, half, reaches):
                                index = ((kz & 7) << 6) | ((ky & 7) << 3) | (kx & 7)
                                value = equal if row < 0 else values[row, index]
                                occupied += value >= 0
                                free += value < 0
                                total += 1
    return occupied, free, total
