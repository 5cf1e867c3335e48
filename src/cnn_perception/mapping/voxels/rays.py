"""Rays from a sensor to the points it measured, walked cell by cell into the marks of a scan.

The walk is that of Amanatides & Woo 1987 in the floating-point types of OctoMap 1.10 (coordinates
and directions float32, positions along the ray double), so that it visits the same cells.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.voxels.voxel_kernels import (
    FREE,
    OCCUPIED,
    Store,
    hashed,
    marked_row,
    touch,
)
from cnn_perception.types import Float32Array, Float64Array, UInt8Array

__all__ = [
    "CUT",
    "HIT",
    "NOT_A_POINT",
    "OFF_THE_MAP",
    "UNUSABLE",
    "Ends",
    "block_of",
    "cell_of",
    "cells_of_points",
    "count_unusable",
    "cut_rays",
    "distinct_cells",
    "first_border",
    "index_in_block",
    "mark_hits",
    "norm",
    "packed_cell",
    "rays_to_centers",
    "walk_rays",
]

# What the end of a ray is: of no use, where the ray was cut, or a point that was measured.
UNUSABLE, CUT, HIT = 0, 1, 2
_KEY_ORIGIN = 1 << 15
_PACKED_ORIGIN = 32768.0 * (2.0**32 + 2.0**16 + 1.0)
# In place of a cell's packed keys.
OFF_THE_MAP, NOT_A_POINT = -1.0, -2.0
_FAR = 1.7976931348623157e308
# A cell's three keys in one number, so that a step is one addition.
_X, _Y = 1 << 32, 1 << 16
_INSIDE_BLOCK = (7 << 32) | (7 << 16) | 7


class Ends(NamedTuple):
    """Where the rays of a scan end: float32 (N, 3) metres, packed cell keys, and what they are."""

    points: Float32Array
    cells: NDArray[np.int64]
    kinds: UInt8Array


@inlined
def norm(x: np.float32, y: np.float32, z: np.float32) -> float:
    """Return the length of a vector: squares summed in float32, the root in double."""
    return math.sqrt(np.float64(x * x + y * y + z * z))


@inlined
def packed_cell(x: np.float32, y: np.float32, z: np.float32, per_metre: float) -> float:
    """Return the packed keys of the cell that holds a point, or OFF_THE_MAP.

    In doubles, which hold the 48 bits and let a loop over this be vectorised.
    """
    a = math.floor(per_metre * np.float64(x))
    b = math.floor(per_metre * np.float64(y))
    c = math.floor(per_metre * np.float64(z))
    on_map = (abs(a + 0.5) <= 32768.0) & (abs(b + 0.5) <= 32768.0) & (abs(c + 0.5) <= 32768.0)
    packed = (a * 65536.0 + b) * 65536.0 + c + _PACKED_ORIGIN
    return packed if on_map else OFF_THE_MAP


@inlined
def cell_of(x: np.float32, y: np.float32, z: np.float32, per_metre: float) -> int:
    """Return the packed keys of the cell that holds a point, or -1 off the map."""
    return np.int64(packed_cell(x, y, z, per_metre))


@inlined
def block_of(cell: int) -> int:
    """Return the code of the block of a packed cell."""
    return ((cell >> 35) << 26) | (((cell >> 19) & 8191) << 13) | ((cell >> 3) & 8191)


@inlined
def index_in_block(cell: int) -> int:
    """Return the index of a packed cell in its block."""
    return ((cell & 7) << 6) | ((cell >> 13) & 56) | ((cell >> 32) & 7)


@inlined
def center_of(key: int, resolution: float) -> np.float32:
    """Return the middle of a cell along one axis."""
    return np.float32((np.float64(key - _KEY_ORIGIN) + 0.5) * resolution)


@inlined
def _cut(
    x: np.float32, y: np.float32, z: np.float32, origin: Float32Array, reach: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Return the end of a ray cut to a length, computed as OctoMap does."""
    dx, dy, dz = x - origin[0], y - origin[1], z - origin[2]
    length = np.float32(norm(dx, dy, dz))
    if length > 0:
        dx, dy, dz = dx / length, dy / length, dz / length
    return origin[0] + dx * reach, origin[1] + dy * reach, origin[2] + dz * reach


@kernel
def cut_rays(
    points: Float32Array,
    origin: Float32Array,
    resolution: float,
    max_range: float,
    ends: Ends,
    outcome: NDArray[np.int64],
) -> None:
    """Find where each point's ray ends: at the point, or at max_range (negative: unlimited).

    Counts in `outcome` the points that are not finite, and those that are off the map.
    """
    per_metre = 1.0 / resolution
    reach = np.float32(max_range)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        ends.kinds[i] = UNUSABLE
        if x - x + (y - y) + (z - z) != 0:  # NaN or infinite
            outcome[0] += 1
            continue
        kind = HIT
        if max_range >= 0:
            distance = norm(x - origin[0], y - origin[1], z - origin[2])
            if not distance <= max_range:
                kind = CUT
                x, y, z = _cut(x, y, z, origin, reach)
        cell = cell_of(x, y, z, per_metre)
        if cell < 0:
            outcome[1] += 1
            continue
        ends.points[i, 0], ends.points[i, 1], ends.points[i, 2] = x, y, z
        ends.cells[i] = cell
        ends.kinds[i] = kind


@inlined
def first_border(
    direction: np.float32, origin: np.float32, key: int, resolution: float
) -> tuple[int, float, float]:
    """Return the step along an axis, where its first border lies on the ray, and their spacing."""
    if direction == np.float32(0):
        return 0, _FAR, _FAR
    step = 1 if direction > np.float32(0) else -1
    border = (np.float64(key - _KEY_ORIGIN) + 0.5) * resolution
    border += np.float64(np.float32(step * resolution * 0.5))
    border = (border - np.float64(origin)) / np.float64(direction)
    return step, border, resolution / abs(np.float64(direction))


@kernel
def walk_rays(
    store: Store, origin: Float32Array, ends: Ends, count: int, resolution: float, start: int
) -> int:
    """Mark the cells of the rays from `start` on as free.

    Returns how many rays are done: fewer than `count` when a pool is full.
    """
    done, missing = _walk(store, origin, ends, count, resolution, start)
    while missing >= 0 and touch(store, missing) >= 0:
        done, missing = _walk(store, origin, ends, count, resolution, done)
    return done


@kernel
def _walk(
    store: Store, origin: Float32Array, ends: Ends, count: int, resolution: float, start: int
) -> tuple[int, int]:
    """Walk rays until one comes to a block that this scan has not touched.

    Each goes from the origin's cell up to, not including, its end's. Returns how many rays are
    done, and the code of that block or -1.
    """
    marks, mark_rows = store.marks, store.mark_rows
    codes, slots = store.directory_codes, store.directory_slots
    ox, oy, oz = origin[0], origin[1], origin[2]
    first = cell_of(ox, oy, oz, 1.0 / resolution)
    row = np.int64(-1)
    corner = np.int64(-1)
    for i in range(start, count):
        last = ends.cells[i]
        if ends.kinds[i] == UNUSABLE or first == last:
            continue
        dx, dy, dz = ends.points[i, 0] - ox, ends.points[i, 1] - oy, ends.points[i, 2] - oz
        length = np.float32(norm(dx, dy, dz))
        reach = np.float64(length)
        step_x, border_x, spacing_x = first_border(dx / length, ox, first >> 32, resolution)
        step_y, border_y, spacing_y = first_border(
            dy / length, oy, (first >> 16) & 0xFFFF, resolution
        )
        step_z, border_z, spacing_z = first_border(dz / length, oz, first & 0xFFFF, resolution)
        step_x *= _X
        step_y *= _Y
        cell = first
        while True:
            if (cell ^ corner) & ~_INSIDE_BLOCK != 0:
                row = marked_row(codes, slots, mark_rows, block_of(cell))
                if row < 0:
                    return i, block_of(cell)
                corner = cell
            marks[row, index_in_block(cell)] = FREE
            # The nearest border is crossed; ties go as OctoMap breaks them.
            if border_x < border_y:
                if border_x < border_z:
                    cell += step_x
                    border_x += spacing_x
                else:
                    cell += step_z
                    border_z += spacing_z
            elif border_y < border_z:
                cell += step_y
                border_y += spacing_y
            else:
                cell += step_z
                border_z += spacing_z
            # Rounding can make a ray miss its last cell; then its length ends it.
            if cell == last or min(min(border_x, border_y), border_z) > reach:
                break
    return count, -1


@kernel
def mark_hits(store: Store, ends: Ends, count: int, start: int) -> int:
    """Mark the cells of the hits from `start` on as occupied; after the rays, so that hits win.

    Returns how many ends are done: fewer than `count` when a pool is full.
    """
    done, missing = _mark_hits(store, ends, count, start)
    while missing >= 0 and touch(store, missing) >= 0:
        done, missing = _mark_hits(store, ends, count, done)
    return done


@kernel
def _mark_hits(store: Store, ends: Ends, count: int, start: int) -> tuple[int, int]:
    """Mark hits until one is in a block that this scan has not touched, as `_walk` does."""
    marks, mark_rows = store.marks, store.mark_rows
    codes, slots = store.directory_codes, store.directory_slots
    corner = np.int64(-1)
    row = np.int64(-1)
    for i in range(start, count):
        if ends.kinds[i] != HIT:
            continue
        cell = ends.cells[i]
        if (cell ^ corner) & ~_INSIDE_BLOCK != 0:
            row = marked_row(codes, slots, mark_rows, block_of(cell))
            if row < 0:
                return i, block_of(cell)
            corner = cell
        marks[row, index_in_block(cell)] = OCCUPIED
    return count, -1


@kernel
def distinct_cells(
    cells: Float64Array, seen: NDArray[np.int64], distinct: NDArray[np.int64]
) -> int:
    """Write each cell once, in order of first appearance; negative ones are none.

    cells: packed keys as the doubles they fit in; seen: a hash table, all -1. Returns how many
    there are, or -1 when the table is too small.
    """
    mask = seen.size - 1
    previous = -1.0
    count = 0
    for i in range(cells.size):
        # Neighbouring points mostly share a cell.
        if cells[i] == previous:
            continue
        previous = cells[i]
        if previous < 0.0:
            continue
        cell = np.int64(previous)
        place = hashed(cell, mask)
        while seen[place] != cell and seen[place] != -1:
            place = (place + 1) & mask
        if seen[place] == cell:
            continue
        if 2 * count > mask:
            return -1
        seen[place] = cell
        distinct[count] = cell
        count += 1
    return count


@kernel
def rays_to_centers(
    cells: NDArray[np.int64],
    origin: Float32Array,
    resolution: float,
    max_range: float,
    ends: Ends,
) -> None:
    """Find where the rays to the centres of cells end (OctoMap: discretize)."""
    per_metre = 1.0 / resolution
    reach = np.float32(max_range)
    for i in range(cells.size):
        x = center_of(cells[i] >> 32, resolution)
        y = center_of((cells[i] >> 16) & 0xFFFF, resolution)
        z = center_of(cells[i] & 0xFFFF, resolution)
        kind = HIT
        if max_range >= 0:
            distance = norm(x - origin[0], y - origin[1], z - origin[2])
            if not distance <= max_range:
                kind = CUT
                x, y, z = _cut(x, y, z, origin, reach)
        cell = cell_of(x, y, z, per_metre)
        ends.points[i, 0], ends.points[i, 1], ends.points[i, 2] = x, y, z
        ends.cells[i] = cell
        ends.kinds[i] = kind if cell >= 0 else UNUSABLE


@kernel
def cells_of_points(points: Float32Array, per_metre: float, cells: Float64Array) -> None:
    """Write the packed keys of the cells that hold points, OFF_THE_MAP or NOT_A_POINT."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        finite = x - x + (y - y) + (z - z) == 0
        cells[i] = packed_cell(x, y, z, per_metre) if finite else NOT_A_POINT


@kernel
def count_unusable(cells: Float64Array, outcome: NDArray[np.int64]) -> None:
    """Count how many are NOT_A_POINT, and how many OFF_THE_MAP."""
    for i in range(cells.size):
        outcome[0] += cells[i] == NOT_A_POINT
        outcome[1] += cells[i] == OFF_THE_MAP
