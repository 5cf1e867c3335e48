"""Compiled search for the obstacle nearest to a point: exact, from near blocks to far ones.

A cell's distance is that of its cube, per axis zero where the point's own key is the cell's. All
bounds are computed by the same operations as the distances, so that rounding cannot hide a cell.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.voxel_kernels import BLOCKS, Store, find
from cnn_perception.types import Float32Array, Float64Array, UInt8Array

__all__ = ["nearest_obstacles"]

_KEY_ORIGIN = 1 << 15
_BLOCKS_ACROSS = 1 << 13
# Keys of points far beyond the map are as good at this distance, and fit into an integer.
_FARTHEST_KEY = float(1 << 40)
# What is remembered of a block while points are looked up: whether it holds an obstacle.
_NOT_ASKED, _NONE, _SOME = 0, 1, 2


@inlined
def _key(coordinate: float, per_metre: float) -> int:
    cells = min(max(per_metre * coordinate, -_FARTHEST_KEY), _FARTHEST_KEY)
    return np.int64(math.floor(cells)) + _KEY_ORIGIN


@inlined
def _gap(coordinate: float, own: int, key: int, resolution: float) -> float:
    """Return the square of the distance along one axis from a point to the cells with a key."""
    if key == own:
        return 0.0
    border = np.float64(key - _KEY_ORIGIN + (key < own)) * resolution
    gap = max(border - coordinate if key > own else coordinate - border, 0.0)
    return gap * gap


@inlined
def _is_obstacle(value: np.float32, unknown_too: bool) -> bool:
    return bool(value >= 0) or (unknown_too and bool(value != value))


@inlined
def _holds_obstacle(store: Store, slot: int, unknown_too: bool, known: UInt8Array) -> bool:
    """Return whether a block has an obstacle, and remember it."""
    if known[slot] == _NOT_ASKED:
        known[slot] = _NONE
        row = store.rows[slot]
        if row < 0:
            if _is_obstacle(store.constants[slot], unknown_too):
                known[slot] = _SOME
        else:
            for value in store.values[row]:
                if _is_obstacle(value, unknown_too):
                    known[slot] = _SOME
                    break
    return known[slot] == _SOME


@inlined
def _block_bound(
    point: Float64Array, own: NDArray[np.int64], code: int, resolution: float
) -> float:
    """Return the square of the distance from a point to a block."""
    x, y, z = (code >> 26) << 3, ((code >> 13) & 8191) << 3, (code & 8191) << 3
    bound = _gap(point[0], own[0], min(max(own[0], x), x + 7), resolution)
    bound += _gap(point[1], own[1], min(max(own[1], y), y + 7), resolution)
    return bound + _gap(point[2], own[2], min(max(own[2], z), z + 7), resolution)


@inlined
def _nearest_in_block(
    store: Store,
    slot: int,
    code: int,
    point: Float64Array,
    own: NDArray[np.int64],
    resolution: float,
    unknown_too: bool,
    best: float,
    best_cell: int,
) -> tuple[float, int]:
    """Return the better of the best so far and the block's nearest obstacle: square, packed cell.

    Of cells at one distance the one with the lowest keys wins, whatever the order of the search.
    """
    x0, y0, z0 = (code >> 26) << 3, ((code >> 13) & 8191) << 3, (code & 8191) << 3
    row = np.int64(-1) if slot < 0 else np.int64(store.rows[slot])
    equal = np.float32(np.nan) if slot < 0 else store.constants[slot]
    for x in range(x0, x0 + 8):
        square_x = _gap(point[0], own[0], x, resolution)
        if square_x > best:
            continue
        for y in range(y0, y0 + 8):
            square_xy = square_x + _gap(point[1], own[1], y, resolution)
            if square_xy > best:
                continue
            for z in range(z0, z0 + 8):
                index = ((z & 7) << 6) | ((y & 7) << 3) | (x & 7)
                value = equal if row < 0 else store.values[row, index]
                if not _is_obstacle(value, unknown_too):
                    continue
                square = square_xy + _gap(point[2], own[2], z, resolution)
                cell = (x << 32) | (y << 16) | z
                if square < best or (square == best and (cell < best_cell or best_cell < 0)):
                    best, best_cell = square, cell
    return best, best_cell


@inlined
def _ring_bound(point: Float64Array, own: NDArray[np.int64], ring: int, resolution: float) -> float:
    """Return the square of the distance to the blocks that are `ring` blocks away, or farther.

    Infinite where these are all beyond the map.
    """
    bound = np.inf
    for axis in range(3):
        block = own[axis] >> 3
        if block + ring < _BLOCKS_ACROSS:
            key = max((block + ring) << 3, own[axis])
            bound = min(bound, _gap(point[axis], own[axis], key, resolution))
        if block - ring >= 0:
            key = min(((block - ring) << 3) + 7, own[axis])
            bound = min(bound, _gap(point[axis], own[axis], key, resolution))
    return bound


@inlined
def _search_all(
    store: Store,
    point: Float64Array,
    own: NDArray[np.int64],
    resolution: float,
    unknown_too: bool,
    known: UInt8Array,
    best: float,
    best_cell: int,
) -> tuple[float, int]:
    """Search all blocks that the map has."""
    for slot in range(store.counts[BLOCKS]):
        code = store.codes[slot]
        if _block_bound(point, own, code, resolution) <= best and _holds_obstacle(
            store, slot, unknown_too, known
        ):
            best, best_cell = _nearest_in_block(
                store, slot, code, point, own, resolution, unknown_too, best, best_cell
            )
    return best, best_cell


@inlined
def _search_ring(
    store: Store,
    point: Float64Array,
    own: NDArray[np.int64],
    ring: int,
    resolution: float,
    unknown_too: bool,
    known: UInt8Array,
    best: float,
    best_cell: int,
) -> tuple[float, int]:
    """Search the blocks that are exactly `ring` blocks away along at least one axis."""
    bx, by, bz = own[0] >> 3, own[1] >> 3, own[2] >> 3
    last = _BLOCKS_ACROSS - 1
    for x in range(max(bx - ring, 0), min(bx + ring, last) + 1):
        for y in range(max(by - ring, 0), min(by + ring, last) + 1):
            side = abs(x - bx) == ring or abs(y - by) == ring
            for z in range(bz - ring, bz + ring + 1, 1 if side else max(2 * ring, 1)):
                if z < 0 or z > last:
                    continue
                code = (x << 26) | (y << 13) | z
                slot = find(store, code)
                if slot < 0:
                    if not unknown_too:
                        continue
                elif not _holds_obstacle(store, slot, unknown_too, known):
                    continue
                if _block_bound(point, own, code, resolution) <= best:
                    best, best_cell = _nearest_in_block(
                        store, slot, code, point, own, resolution, unknown_too, best, best_cell
                    )
    return best, best_cell


@kernel
def nearest_obstacles(
    store: Store,
    points: Float64Array,
    resolution: float,
    max_distance: float,
    unknown_too: bool,
    distances: Float64Array,
    cells: Float32Array,
) -> None:
    """Write the distance to the nearest obstacle within max_distance, and its cell's centre.

    Infinite and NaN where there is none. With unknown_too, unknown cells are obstacles, and a point
    off the map is in one.
    """
    per_metre = 1.0 / resolution
    # A little more than the square, against rounding; the root decides in the end.
    limit = max_distance * max_distance * (1.0 + 1e-12)
    blocks = store.counts[BLOCKS]
    known = np.zeros(blocks, np.uint8)
    own = np.empty(3, np.int64)
    for i in range(points.shape[0]):
        point = points[i]
        on_map = True
        for axis in range(3):
            own[axis] = _key(point[axis], per_metre)
            on_map &= (own[axis] >> 16) == 0
        best, cell = limit, np.int64(-1)
        distances[i] = np.inf
        cells[i, :] = np.nan
        if not on_map:
            if unknown_too:
                distances[i] = 0.0
                for axis in range(3):
                    center = (np.float64(own[axis] - _KEY_ORIGIN) + 0.5) * resolution
                    cells[i, axis] = np.float32(center)
                continue
            best, cell = _search_all(store, point, own, resolution, unknown_too, known, best, cell)
        else:
            ring = 0
            while _ring_bound(point, own, ring, resolution) <= best and ring < _BLOCKS_ACROSS:
                if not unknown_too and (2 * ring + 1) ** 3 > blocks:
                    # By now the blocks of the map are fewer than those to be looked up.
                    best, cell = _search_all(
                        store, point, own, resolution, unknown_too, known, best, cell
                    )
                    break
                best, cell = _search_ring(
                    store, point, own, ring, resolution, unknown_too, known, best, cell
                )
                ring += 1
        if cell >= 0 and math.sqrt(best) <= max_distance:
            distances[i] = math.sqrt(best)
            for axis in range(3):
                key = (cell >> (32 - 16 * axis)) & 0xFFFF
                cells[i, axis] = np.float32((np.float64(key - _KEY_ORIGIN) + 0.5) * resolution)
