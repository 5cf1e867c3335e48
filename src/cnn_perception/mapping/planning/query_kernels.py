"""Compiled questions to a voxel store: the cells at points, and rays.

Rays are float32, as OctoMap's castRay takes them; what is computed from them is double. Loops over
cells take the arrays of the store apart first: numba counts references wherever a Store is handed
on, and that takes longer than all the rest.
"""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import INSIDE_BLOCK, KEY_ORIGIN, LAST_KEY
from cnn_perception.mapping.voxels.cell_kernels import (
    advance,
    block_of,
    cell_of,
    center_of,
    index_in_block,
    norm,
    start_ray,
)
from cnn_perception.mapping.voxels.voxel_kernels import Store, place_of
from cnn_perception.types import Float32Array, Float64Array, UInt8Array

__all__ = [
    "STOP_BORDER",
    "STOP_HIT",
    "STOP_RANGE",
    "STOP_UNKNOWN",
    "cast_rays",
    "look_up_points",
]

# Why a ray ended.
STOP_HIT, STOP_UNKNOWN, STOP_RANGE, STOP_BORDER = 0, 1, 2, 3


@kernel
def look_up_points(
    store: Store, points: Float64Array, resolution: float, log_odds: Float32Array
) -> None:
    """Write the log-odds of the cells that hold points; NaN is unknown, or off the map."""
    codes, slots = store.directory_codes, store.directory_slots
    rows, constants, values = store.rows, store.constants, store.values
    per_metre = 1.0 / resolution
    for i in range(points.shape[0]):
        log_odds[i] = np.nan
        cell = cell_of(points[i, 0], points[i, 1], points[i, 2], per_metre)
        if cell < 0:
            continue
        place = place_of(codes, block_of(cell))
        if codes[place] != -1:
            slot = slots[place]
            row = rows[slot]
            log_odds[i] = constants[slot] if row < 0 else values[row, index_in_block(cell)]


@inlined
def _square(cell: int, x: np.float32, y: np.float32, z: np.float32, resolution: float) -> float:
    """Return the squared distance of a cell's centre: squares in float32, their sum in double."""
    dx = np.float32(center_of(cell >> 32, resolution)) - x
    dy = np.float32(center_of((cell >> 16) & 0xFFFF, resolution)) - y
    dz = np.float32(center_of(cell & 0xFFFF, resolution)) - z
    return np.float64(dx * dx) + np.float64(dy * dy) + np.float64(dz * dz)


@inlined
def _entry(direction: np.float32, origin: np.float32, key: int, resolution: float) -> float:
    """Return where a ray enters the slab of a key, in units of the direction's length."""
    if direction == np.float32(0):
        return 0.0
    border = np.float64(key - KEY_ORIGIN + (direction < np.float32(0))) * resolution
    return (border - np.float64(origin)) / np.float64(direction)


@kernel
def cast_rays(
    store: Store,
    origins: Float32Array,
    directions: Float32Array,
    resolution: float,
    ignore_unknown: bool,
    max_range: float,
    stops: UInt8Array,
    cells: Float32Array,
    distances: Float64Array,
) -> None:
    """Cast rays as OctoMap's castRay does; directions need not be of unit length.

    Writes why each ray stopped, the centre of the cell where it did (NaN when the origin is off the
    map), and the metres to where it enters that cell (infinite unless it is a hit).
    """
    codes, slots = store.directory_codes, store.directory_slots
    rows, constants, values = store.rows, store.constants, store.values
    per_metre, half = 1.0 / resolution, resolution * 0.5
    # The centre of a cell is less than its edge from where a ray enters it: so far no cell can be
    # out of range, and OctoMap's test of every cell is left out.
    surely_near = 0.999 * max_range - resolution if max_range > 0 else np.inf
    corner = np.int64(-1)
    row, equal = np.int64(-1), np.float32(np.nan)
    for i in range(origins.shape[0]):
        ox, oy, oz = origins[i, 0], origins[i, 1], origins[i, 2]
        dx, dy, dz = directions[i, 0], directions[i, 1], directions[i, 2]
        stops[i] = STOP_UNKNOWN
        distances[i] = np.inf
        cells[i, 0] = cells[i, 1] = cells[i, 2] = np.nan
        cell = cell_of(ox, oy, oz, per_metre)
        if cell < 0:
            continue
        length = np.float32(norm(dx, dy, dz))
        unit = dx / length, dy / length, dz / length
        step, border, spacing = start_ray(cell, (ox, oy, oz), unit, resolution, half)
        while True:
            if (cell ^ corner) & ~INSIDE_BLOCK != 0:
                corner = cell
                place = place_of(codes, block_of(cell))
                row, equal = np.int64(-1), np.float32(np.nan)
                if codes[place] != -1:
                    row = np.int64(rows[slots[place]])
                    equal = constants[slots[place]]
            value = equal if row < 0 else values[row, index_in_block(cell)]
            if value >= 0:
                stops[i] = STOP_HIT
                break
            if value != value and not ignore_unknown:
                break
            following, border, along, shift = advance(cell, step, border, spacing)
            edge = LAST_KEY if following > cell else 0
            if (cell >> shift) & 0xFFFF == edge:
                stops[i] = STOP_BORDER
                break
            cell = following
            if along > surely_near and (
                _square(cell, ox, oy, oz, resolution) > max_range * max_range
            ):
                stops[i] = STOP_RANGE
                break
        x, y, z = cell >> 32, (cell >> 16) & 0xFFFF, cell & 0xFFFF
        cells[i, 0] = np.float32(center_of(x, resolution))
        cells[i, 1] = np.float32(center_of(y, resolution))
        cells[i, 2] = np.float32(center_of(z, resolution))
        if stops[i] == STOP_HIT:
            entry = max(0.0, _entry(dx, ox, x, resolution))
            entry = max(entry, _entry(dy, oy, y, resolution))
            entry = max(entry, _entry(dz, oz, z, resolution))
            squares = np.float64(dx) ** 2 + np.float64(dy) ** 2 + np.float64(dz) ** 2
            distances[i] = entry * math.sqrt(squares)
