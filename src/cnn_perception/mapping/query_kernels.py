"""Compiled questions to a voxel store: cells at points, and rays.

Rays are float32, as OctoMap's castRay takes them; what is computed from them is double.
"""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.rays import block_of, cell_of, index_in_block
from cnn_perception.mapping.voxel_kernels import Store, find
from cnn_perception.types import Float32Array, Float64Array, UInt8Array

__all__ = [
    "STOP_BORDER",
    "STOP_HIT",
    "STOP_RANGE",
    "STOP_UNKNOWN",
    "cast_rays",
    "look_up_points",
    "value_at",
]

# Why a ray ended.
STOP_HIT, STOP_UNKNOWN, STOP_RANGE, STOP_BORDER = 0, 1, 2, 3

_KEY_ORIGIN = 1 << 15
_LAST_KEY = (1 << 16) - 1
_FAR = 1.7976931348623157e308
_X, _Y = 1 << 32, 1 << 16


@inlined
def value_at(store: Store, slot: int, index: int) -> np.float32:
    """Return the log-odds of a cell of a block; NaN is unknown, as in a block that is not there."""
    if slot < 0:
        return np.float32(np.nan)
    row = store.rows[slot]
    return store.constants[slot] if row < 0 else store.values[row, index]


@kernel
def look_up_points(
    store: Store, points: Float64Array, resolution: float, log_odds: Float32Array
) -> None:
    """Write the log-odds of the cells that hold points; NaN is unknown, or off the map."""
    per_metre = 1.0 / resolution
    for i in range(points.shape[0]):
        cell = cell_of(points[i, 0], points[i, 1], points[i, 2], per_metre)
        slot = np.int64(-1)
        if cell >= 0:
            slot = find(store, block_of(cell))
        log_odds[i] = value_at(store, slot, index_in_block(cell))


# --- rays


@inlined
def _center(key: int, resolution: float) -> float:
    return (np.float64(key - _KEY_ORIGIN) + 0.5) * resolution


@inlined
def _axis(
    direction: np.float32, origin: np.float32, key: int, resolution: float
) -> tuple[int, float, float]:
    """Return the step along an axis, where its first border lies on the ray, and their spacing."""
    if direction == np.float32(0):
        return 0, _FAR, _FAR
    step = 1 if direction > np.float32(0) else -1
    # Unlike where it takes in scans, OctoMap does not round this half edge to float32.
    border = _center(key, resolution) + step * resolution * 0.5
    border = (border - np.float64(origin)) / np.float64(direction)
    return step, border, resolution / abs(np.float64(direction))


@inlined
def _farther(cell: int, origin: Float32Array, resolution: float, squared_range: float) -> bool:
    """Return whether a cell's centre is out of range: squares in float32, their sum in double."""
    dx = np.float32(_center(cell >> 32, resolution)) - origin[0]
    dy = np.float32(_center((cell >> 16) & 0xFFFF, resolution)) - origin[1]
    dz = np.float32(_center(cell & 0xFFFF, resolution)) - origin[2]
    return np.float64(dx * dx) + np.float64(dy * dy) + np.float64(dz * dz) > squared_range


@inlined
def _cast(
    store: Store,
    origin: Float32Array,
    direction: Float32Array,
    resolution: float,
    ignore_unknown: bool,
    max_range: float,
) -> tuple[int, int]:
    """Walk one ray and return why it stopped, and in which packed cell; -1 is off the map."""
    cell = cell_of(origin[0], origin[1], origin[2], 1.0 / resolution)
    if cell < 0:
        return STOP_UNKNOWN, cell
    block = block_of(cell)
    slot = find(store, block)
    value = value_at(store, slot, index_in_block(cell))
    if value >= 0:
        return STOP_HIT, cell
    if value != value and not ignore_unknown:
        return STOP_UNKNOWN, cell
    dx, dy, dz = direction[0], direction[1], direction[2]
    length = np.float32(math.sqrt(np.float64(dx * dx + dy * dy + dz * dz)))
    step_x, border_x, spacing_x = _axis(dx / length, origin[0], cell >> 32, resolution)
    step_y, border_y, spacing_y = _axis(dy / length, origin[1], (cell >> 16) & 0xFFFF, resolution)
    step_z, border_z, spacing_z = _axis(dz / length, origin[2], cell & 0xFFFF, resolution)
    squared_range = max_range * max_range
    while True:
        # The nearest border is crossed; ties go as OctoMap breaks them.
        if border_x < border_y and border_x < border_z:
            step, shift = step_x, 32
            border_x += spacing_x
        elif border_y <= border_x and border_y < border_z:
            step, shift = step_y, 16
            border_y += spacing_y
        else:
            step, shift = step_z, 0
            border_z += spacing_z
        if (cell >> shift) & 0xFFFF == (_LAST_KEY if step > 0 else 0):
            return STOP_BORDER, cell
        cell += step << shift
        if max_range > 0 and _farther(cell, origin, resolution, squared_range):
            return STOP_RANGE, cell
        if block_of(cell) != block:
            block = block_of(cell)
            slot = find(store, block)
        value = value_at(store, slot, index_in_block(cell))
        if value >= 0:
            return STOP_HIT, cell
        if value != value and not ignore_unknown:
            return STOP_UNKNOWN, cell


@inlined
def _entry(direction: float, origin: float, key: int, resolution: float) -> float:
    """Return where a ray enters the slab of a key, in units of the direction's length."""
    if direction == 0.0:
        return 0.0
    border = np.float64(key - _KEY_ORIGIN + (direction < 0.0)) * resolution
    return (border - origin) / direction


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
    for i in range(origins.shape[0]):
        origin, direction = origins[i], directions[i]
        stop, cell = _cast(store, origin, direction, resolution, ignore_unknown, max_range)
        stops[i] = stop
        distances[i] = np.inf
        cells[i, :] = np.nan
        if cell < 0:
            continue
        farthest, squares = 0.0, 0.0
        for axis in range(3):
            key = (cell >> (32 - 16 * axis)) & 0xFFFF
            along = np.float64(direction[axis])
            cells[i, axis] = np.float32(_center(key, resolution))
            entry = _entry(along, np.float64(origin[axis]), key, resolution)
            farthest = max(farthest, entry)
            squares += along * along
        if stop == STOP_HIT:
            distances[i] = farthest * math.sqrt(squares)
