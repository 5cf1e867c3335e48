"""One ray of a depth image and one cell, decided as OctoMap's walk does."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cnn_perception.mapping.jit import inlined
from cnn_perception.mapping.projection import PixelRays
from cnn_perception.mapping.sweep.depth_pyramid import Pyramid, View
from cnn_perception.mapping.voxels.rays import cell_of, first_border, norm
from cnn_perception.types import Float32Array

__all__ = ["Picture", "passes"]

_KEY_ORIGIN = 1 << 15
# A cell's three keys in one number, so that a step is one addition.
_X, _Y = 1 << 32, 1 << 16


class Picture(NamedTuple):
    """The image of a scan."""

    depth: Float32Array
    rays: PixelRays
    pyramid: Pyramid


@inlined
def passes(
    view: View, picture: Picture, u: int, v: int, key_x: int, key_y: int, key_z: int
) -> bool:
    """Return whether the ray of a pixel, as OctoMap walks it, visits a cell before its last."""
    rays, z = picture.rays, picture.depth[v, u]
    ox, oy, oz = rays.origin[0], rays.origin[1], rays.origin[2]
    ex = (rays.columns[0, u] + rays.rows[0, v]) * z + ox
    ey = (rays.columns[1, u] + rays.rows[1, v]) * z + oy
    ez = (rays.columns[2, u] + rays.rows[2, v]) * z + oz
    dx, dy, dz = ex - ox, ey - oy, ez - oz
    if dx * dx + dy * dy + dz * dz > view.furthest:
        length, reach = np.float32(norm(dx, dy, dz)), np.float32(view.max_range)
        ex, ey, ez = ox + dx / length * reach, oy + dy / length * reach, oz + dz / length * reach
        dx, dy, dz = ex - ox, ey - oy, ez - oz
    cell = (key_x << 32) | (key_y << 16) | key_z
    last = cell_of(ex, ey, ez, view.per_metre)
    if cell == last:
        return False
    # OctoMap's walk goes along the float32 direction, which is right to 2e-7, and its faces are
    # rounded to 1e-8 of a cell: unless that decides, the ray need not be walked.
    doubt = 1e-6 * norm(dx, dy, dz) + 1e-7 * view.resolution
    enter, leave, out = 0.0, 1.0, 1.0
    first_enter, last_leave = 0.0, 1.0
    for axis, key, direction in ((0, key_x, dx), (1, key_y, dy), (2, key_z, dz)):
        low = (key - _KEY_ORIGIN) * view.resolution - view.eye[axis]
        before, first, last_, past = _clip(low, view.resolution, doubt, np.float64(direction))
        enter, leave, out = max(enter, first), min(leave, last_), min(out, past)
        first_enter, last_leave = max(first_enter, before), min(last_leave, past)
    if enter < leave and out < 1.0:
        return True
    if first_enter > last_leave:
        return False
    return _visits(ox, oy, oz, dx, dy, dz, last, cell, view.resolution)


@inlined
def _clip(
    low: float, size: float, doubt: float, direction: float
) -> tuple[float, float, float, float]:
    """Return, in shares of a ray, where it enters and leaves a cell's extent along one axis.

    Enters the extent plus the doubt, and less it; leaves the extent less the doubt, and plus it.
    """
    high = low + size
    if direction == 0:
        if low + doubt < 0 < high - doubt:
            return 0.0, 0.0, 1.0, math.inf
        if low - doubt < 0 < high + doubt:
            return 0.0, 1.0, 0.0, math.inf
        return 2.0, 1.0, 0.0, math.inf
    if direction < 0:
        low, high, direction = -high, -low, -direction
    return (
        (low - doubt) / direction,
        (low + doubt) / direction,
        (high - doubt) / direction,
        (high + doubt) / direction,
    )


@inlined
def _visits(
    x: np.float32,
    y: np.float32,
    z: np.float32,
    dx: np.float32,
    dy: np.float32,
    dz: np.float32,
    last: int,
    target: int,
    resolution: float,
) -> bool:
    """Walk one ray as OctoMap does; return whether it visits a cell before its last."""
    cell = cell_of(x, y, z, 1.0 / resolution)
    if cell == last:
        return False
    length = np.float32(norm(dx, dy, dz))
    step_x, border_x, space_x = first_border(dx / length, x, cell >> 32, resolution)
    step_y, border_y, space_y = first_border(dy / length, y, (cell >> 16) & 0xFFFF, resolution)
    step_z, border_z, space_z = first_border(dz / length, z, cell & 0xFFFF, resolution)
    reach = np.float64(length)
    # Steps are all in one direction: beyond the target there is no way back to it.
    left_x = ((target >> 32) - (cell >> 32)) * step_x
    left_y = (((target >> 16) & 0xFFFF) - ((cell >> 16) & 0xFFFF)) * step_y
    left_z = ((target & 0xFFFF) - (cell & 0xFFFF)) * step_z
    while cell != target:
        if border_x < border_y:
            if border_x < border_z:
                cell += step_x * _X
                border_x += space_x
                left_x -= 1
            else:
                cell += step_z
                border_z += space_z
                left_z -= 1
        elif border_y < border_z:
            cell += step_y * _Y
            border_y += space_y
            left_y -= 1
        else:
            cell += step_z
            border_z += space_z
            left_z -= 1
        if left_x < 0 or left_y < 0 or left_z < 0:
            return False
        if cell == last or min(min(border_x, border_y), border_z) > reach:
            return False
    return True
