"""Cells in kernels: their keys and codes, see `keys`, and the way of a ray from one to the next.

The walk is that of Amanatides & Woo 1987 in the floating-point types of OctoMap 1.10 (coordinates
and directions float32, positions along the ray double), so that it visits the same cells.
"""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.mapping.jit import inlined
from cnn_perception.mapping.keys import KEY_ORIGIN

__all__ = [
    "NOT_A_POINT",
    "OFF_THE_MAP",
    "Point",
    "advance",
    "block_code",
    "block_corner",
    "block_key",
    "block_of",
    "cell_of",
    "center_of",
    "cut_ray",
    "index_in_block",
    "norm",
    "packed_cell",
    "start_ray",
]

Point = tuple[np.float32, np.float32, np.float32]
Triple = tuple[float, float, float]

OFF_THE_MAP, NOT_A_POINT = -1.0, -2.0
"""In place of a packed cell."""

_PACKED_ORIGIN = 32768.0 * (2.0**32 + 2.0**16 + 1.0)
_FAR = 1.7976931348623157e308


@inlined
def packed_cell(x: np.float32, y: np.float32, z: np.float32, per_metre: float) -> float:
    """Return the packed cell that holds a point, or OFF_THE_MAP.

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
    """Return the packed cell that holds a point, or -1 off the map."""
    return np.int64(packed_cell(x, y, z, per_metre))


@inlined
def center_of(key: int, resolution: float) -> float:
    """Return the middle of a cell along one axis, metres."""
    return (np.float64(key - KEY_ORIGIN) + 0.5) * resolution


@inlined
def block_of(cell: int) -> int:
    """Return the code of the block of a packed cell."""
    return ((cell >> 35) << 26) | (((cell >> 19) & 8191) << 13) | ((cell >> 3) & 8191)


@inlined
def index_in_block(cell: int) -> int:
    """Return the index of a packed cell in its block."""
    return ((cell & 7) << 6) | ((cell >> 13) & 56) | ((cell >> 32) & 7)


@inlined
def block_code(x: int, y: int, z: int) -> int:
    """Return the code of a block from its keys."""
    return (x << 26) | (y << 13) | z


@inlined
def block_key(code: int) -> tuple[int, int, int]:
    """Return the keys of a block: the inverse of `block_code`."""
    return code >> 26, (code >> 13) & 8191, code & 8191


@inlined
def block_corner(code: int) -> tuple[int, int, int]:
    """Return the lowest keys of a block's cells."""
    return (code >> 26) << 3, ((code >> 13) & 8191) << 3, (code & 8191) << 3


@inlined
def norm(x: np.float32, y: np.float32, z: np.float32) -> float:
    """Return the length of a vector: squares summed in float32, the root in double."""
    return math.sqrt(np.float64(x * x + y * y + z * z))


@inlined
def cut_ray(end: Point, origin: Point, reach: np.float32) -> Point:
    """Return the end of a ray cut to a length, computed as OctoMap does."""
    dx, dy, dz = end[0] - origin[0], end[1] - origin[1], end[2] - origin[2]
    length = np.float32(norm(dx, dy, dz))
    if length > 0:
        dx, dy, dz = dx / length, dy / length, dz / length
    return origin[0] + dx * reach, origin[1] + dy * reach, origin[2] + dz * reach


@inlined
def _start_axis(
    direction: np.float32, origin: np.float32, key: int, resolution: float, half: float
) -> tuple[int, float, float]:
    if direction == np.float32(0):
        return 0, _FAR, _FAR
    step = 1 if direction > np.float32(0) else -1
    border = center_of(key, resolution) + step * half
    border = (border - np.float64(origin)) / np.float64(direction)
    return step, border, resolution / abs(np.float64(direction))


@inlined
def start_ray(
    cell: int,
    origin: Point,
    direction: Point,
    resolution: float,
    half: float,
) -> tuple[tuple[int, int, int], Triple, Triple]:
    """Return, by axis, the steps of a ray, where its first borders lie on it, and their spacing.

    cell: the packed cell of the origin; direction: a unit vector; half: half a cell's edge, which
    OctoMap rounds to float32 where it takes in scans and not where it casts rays.
    """
    x, y, z = origin
    dx, dy, dz = direction
    step_x, border_x, spacing_x = _start_axis(dx, x, cell >> 32, resolution, half)
    step_y, border_y, spacing_y = _start_axis(dy, y, (cell >> 16) & 0xFFFF, resolution, half)
    step_z, border_z, spacing_z = _start_axis(dz, z, cell & 0xFFFF, resolution, half)
    return (
        (step_x, step_y, step_z),
        (border_x, border_y, border_z),
        (spacing_x, spacing_y, spacing_z),
    )


@inlined
def advance(
    cell: int, step: tuple[int, int, int], border: Triple, spacing: Triple
) -> tuple[int, Triple, float, int]:
    """Cross the nearest border; ties go as OctoMap breaks them.

    Returns the next packed cell, the next borders, where on the ray the crossed one lies, and by
    how many bits the key of its axis is shifted.
    """
    x, y, z = border
    if x < y:
        if x < z:
            return cell + (step[0] << 32), (x + spacing[0], y, z), x, 32
    elif y < z:
        return cell + (step[1] << 16), (x, y + spacing[1], z), y, 16
    return cell + step[2], (x, y, z + spacing[2]), z, 0
