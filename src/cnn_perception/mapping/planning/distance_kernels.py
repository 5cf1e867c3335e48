"""Compiled search for the obstacle nearest to a point: exact, from near blocks to far ones.

A cell's distance is that of its cube, per axis zero where the point's own key is the cell's. All
bounds are computed by the same operations as the distances, so that rounding cannot hide a cell.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import KEY_ORIGIN
from cnn_perception.mapping.voxels.cell_kernels import block_code, block_key, center_of
from cnn_perception.mapping.voxels.voxel_kernels import BLOCKS, Store, place_of
from cnn_perception.types import Float32Array, Float64Array, UInt8Array

__all__ = ["nearest_obstacles"]

_LAST_BLOCK = (1 << 13) - 1
# Keys of points far beyond the map are as good at this distance, and fit into an integer.
_FARTHEST_KEY = float(1 << 40)
# Whether a block holds obstacles.
_NOT_ASKED, _NONE, _SOME = 0, 1, 2

Point = tuple[float, float, float]
Keys = tuple[int, int, int]
Layers = NDArray[np.uint64]


@inlined
def _key(coordinate: float, per_metre: float) -> int:
    cells = min(max(per_metre * coordinate, -_FARTHEST_KEY), _FARTHEST_KEY)
    return np.int64(math.floor(cells)) + KEY_ORIGIN


@inlined
def _gap(coordinate: float, own: int, key: int, resolution: float) -> float:
    """Return the square of the distance along one axis from a point to the cells with a key."""
    if key == own:
        return 0.0
    border = np.float64(key - KEY_ORIGIN + (key < own)) * resolution
    gap = max(border - coordinate if key > own else coordinate - border, 0.0)
    return gap * gap


@inlined
def _block_gap(coordinate: float, own: int, block: int, resolution: float) -> float:
    """Return the same to the nearest cell of a block."""
    return _gap(coordinate, own, min(max(own, block << 3), (block << 3) + 7), resolution)


@inlined
def _ring_bound(point: Point, own: Keys, ring: int, resolution: float) -> float:
    """Return the square of the distance to the cells that are `ring` blocks away, or farther.

    Infinite where these are all beyond the map.
    """
    bound = np.inf
    for axis in range(3):
        block = own[axis] >> 3
        if block + ring <= _LAST_BLOCK:
            bound = min(bound, _block_gap(point[axis], own[axis], block + ring, resolution))
        if block - ring >= 0:
            bound = min(bound, _block_gap(point[axis], own[axis], block - ring, resolution))
    return bound


@kernel
def _look_for_obstacles(
    store: Store, slot: int, unknown_too: bool, holds: UInt8Array, layers: Layers
) -> None:
    """Find out which cells of a block are obstacles."""
    values, row, equal = store.values, store.rows[slot], store.constants[slot]
    holds[slot] = _NONE
    for z in range(8):
        layer = np.uint64(0)
        for cell in range(64):
            value = equal if row < 0 else values[row, (z << 6) | cell]
            if value >= 0 or (unknown_too and value != value):
                layer |= np.uint64(1) << np.uint64(cell)
                holds[slot] = _SOME
        layers[slot, z] = layer


@inlined
def _nearest_in_block(
    layers: Layers,
    slot: int,
    block: Keys,
    point: Point,
    own: Keys,
    resolution: float,
    best: float,
    best_cell: int,
) -> tuple[float, int]:
    """Return the better of the best so far and the block's nearest obstacle: square, packed cell.

    Of cells at one distance the one with the lowest keys wins, whatever the order of the search.
    """
    for z in range(block[2] << 3, (block[2] << 3) + 8):
        layer = layers[slot, z & 7]
        square_z = _gap(point[2], own[2], z, resolution)
        if layer == 0 or square_z > best:
            continue
        for y in range(block[1] << 3, (block[1] << 3) + 8):
            line = np.int64(layer >> np.uint64((y & 7) << 3)) & 255
            square_y = _gap(point[1], own[1], y, resolution)
            if line == 0 or square_y + square_z > best:
                continue
            for x in range(block[0] << 3, (block[0] << 3) + 8):
                if (line >> (x & 7)) & 1 == 0:
                    continue
                square = _gap(point[0], own[0], x, resolution) + square_y + square_z
                cell = (x << 32) | (y << 16) | z
                if square < best or (square == best and (cell < best_cell or best_cell < 0)):
                    best, best_cell = square, cell
    return best, best_cell


@kernel
def _search_map(
    store: Store,
    point: Point,
    own: Keys,
    resolution: float,
    unknown_too: bool,
    holds: UInt8Array,
    layers: Layers,
    best: float,
    best_cell: int,
) -> tuple[float, int]:
    """Search all blocks that the map has."""
    codes = store.codes
    for slot in range(holds.size - 1):
        block = block_key(codes[slot])
        bound = _block_gap(point[0], own[0], block[0], resolution)
        bound += _block_gap(point[1], own[1], block[1], resolution)
        if bound + _block_gap(point[2], own[2], block[2], resolution) > best:
            continue
        if holds[slot] == _NOT_ASKED:
            _look_for_obstacles(store, slot, unknown_too, holds, layers)
        if holds[slot] == _SOME:
            best, best_cell = _nearest_in_block(
                layers, slot, block, point, own, resolution, best, best_cell
            )
    return best, best_cell


@kernel
def _search_ring(
    store: Store,
    point: Point,
    own: Keys,
    ring: int,
    resolution: float,
    unknown_too: bool,
    holds: UInt8Array,
    layers: Layers,
    best: float,
    best_cell: int,
) -> tuple[float, int]:
    """Search the blocks that are exactly `ring` blocks away along at least one axis."""
    directory, slots = store.directory_codes, store.directory_slots
    x, y, z = own[0] >> 3, own[1] >> 3, own[2] >> 3
    for block_x in range(max(x - ring, 0), min(x + ring, _LAST_BLOCK) + 1):
        gap_x = _block_gap(point[0], own[0], block_x, resolution)
        if gap_x > best:
            continue
        for block_y in range(max(y - ring, 0), min(y + ring, _LAST_BLOCK) + 1):
            gap_xy = gap_x + _block_gap(point[1], own[1], block_y, resolution)
            if gap_xy > best:
                continue
            side = abs(block_x - x) == ring or abs(block_y - y) == ring
            for block_z in range(z - ring, z + ring + 1, 1 if side else 2 * ring):
                if block_z < 0 or block_z > _LAST_BLOCK:
                    continue
                if gap_xy + _block_gap(point[2], own[2], block_z, resolution) > best:
                    continue
                block = (block_x, block_y, block_z)
                place = place_of(directory, block_code(block_x, block_y, block_z))
                absent = directory[place] == -1
                slot = np.int64(holds.size - 1 if absent else slots[place])
                if holds[slot] == _NOT_ASKED:
                    _look_for_obstacles(store, slot, unknown_too, holds, layers)
                if holds[slot] == _SOME:
                    best, best_cell = _nearest_in_block(
                        layers, slot, block, point, own, resolution, best, best_cell
                    )
    return best, best_cell


@kernel
def _search(
    store: Store,
    point: Point,
    own: Keys,
    resolution: float,
    max_distance: float,
    unknown_too: bool,
    holds: UInt8Array,
    layers: Layers,
) -> tuple[float, int]:
    """Return the square of the distance from a point, with its keys, and the packed cell or -1."""
    # A little more than the square, against rounding; the root decides in the end.
    best, cell = max_distance * max_distance * (1.0 + 1e-12), np.int64(-1)
    on_map = (own[0] | own[1] | own[2]) >> 16 == 0
    ring = 0
    while on_map and ring <= _LAST_BLOCK:
        if _ring_bound(point, own, ring, resolution) > best:
            return best, cell
        if not unknown_too and (2 * ring + 1) ** 3 > holds.size:
            break  # By now the blocks of the map are fewer than those to be looked up.
        best, cell = _search_ring(
            store, point, own, ring, resolution, unknown_too, holds, layers, best, cell
        )
        ring += 1
    return _search_map(store, point, own, resolution, unknown_too, holds, layers, best, cell)


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
    blocks = np.int64(store.counts[BLOCKS])
    # By slot, and in the last place of all blocks that the map has not: whether there are obstacles
    # and which cells they are, a word for each z, a bit for each (y << 3) | x.
    holds = np.zeros(blocks + 1, np.uint8)
    layers = np.empty((blocks + 1, 8), np.uint64)
    holds[blocks] = _SOME if unknown_too else _NONE
    layers[blocks, :] = ~np.uint64(0)
    for i in range(points.shape[0]):
        point = (points[i, 0], points[i, 1], points[i, 2])
        keys = (_key(point[0], per_metre), _key(point[1], per_metre), _key(point[2], per_metre))
        best, cell = 0.0, np.int64(0)
        if not unknown_too or (keys[0] | keys[1] | keys[2]) >> 16 == 0:
            best, cell = _search(
                store, point, keys, resolution, max_distance, unknown_too, holds, layers
            )
            keys = (cell >> 32, (cell >> 16) & 0xFFFF, cell & 0xFFFF)
        distances[i] = math.sqrt(best) if cell >= 0 else np.inf
        distances[i] = np.inf if distances[i] > max_distance else distances[i]
        for axis in range(3):
            center = center_of(keys[axis], resolution)
            cells[i, axis] = np.float32(center if distances[i] < np.inf else np.nan)
