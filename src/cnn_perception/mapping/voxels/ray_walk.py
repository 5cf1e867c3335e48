"""The way of a ray from cell to cell.

The walk is that of Amanatides & Woo 1987 in the floating-point types of OctoMap 1.10 (coordinates
and directions float32, positions along the ray double), so that it visits the same cells.
"""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.mapping.jit import inlined
from cnn_perception.mapping.keys import center_of

__all__ = ["Point", "advance", "cut_ray", "norm", "start_ray"]

Point = tuple[np.float32, np.float32, np.float32]
Triple = tuple[float, float, float]

_FAR = 1.7976931348623157e308


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
