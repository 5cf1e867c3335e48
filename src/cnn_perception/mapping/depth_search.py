"""Whether any ray of a depth image crosses one cell: found by nearness, decided as OctoMap does.

In the image, the planes of a cell's faces are affine in nearness: at pixel (u, v), whose ray has
direction d(u, v) per metre of depth, the face at distance q along axis k is met at nearness
d_k(u, v) / q. So a ray is in the cell from the least nearness of the three faces towards the camera
to the largest of the three faces behind. Tiles of pixels are tested likewise, with the faces moved
by as much as directions differ in a tile. Faces are moved outwards by View.margin too, so that no
ray is lost to rounding; the few rays found are then followed exactly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cnn_perception.mapping.depth_pyramid import Pyramid, View
from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.projection import PixelRays
from cnn_perception.mapping.rays import _axis as first_border
from cnn_perception.mapping.rays import _length as norm
from cnn_perception.mapping.rays import cell_of
from cnn_perception.types import Float32Array, Float64Array, Int64Array

__all__ = ["Picture", "crossed"]

_KEY_ORIGIN = 1 << 15
_HUGE = np.float32(3e38)
# Tiles that are tested together, and the levels between a tile and the tiles in it.
_LANES = 8
_STEP = 3
_X, _Y = 1 << 32, 1 << 16


class Picture(NamedTuple):
    """The image of a scan."""

    depth: Float32Array
    rays: PixelRays
    pyramid: Pyramid


@inlined
def _faces(low: float, size: float, margin: float) -> tuple[float, float, float, float]:
    """Return a cell's extent along one axis, grown: sign, 1/near face, 1/far face, 1/other face.

    Where the camera is between the faces, the ray leaves through either: there is no near face, and
    the other face lies in the opposite direction; else the other face is 0.
    """
    low -= margin
    high = low + size + 2 * margin
    if low > 0:
        return 1.0, 1 / low, 1 / high, 0.0
    if high < 0:
        return -1.0, -1 / high, -1 / low, 0.0
    return 1.0, 0.0, 1 / high, -1 / low


@inlined
def _axis(
    slopes: Float64Array, sign: float, low_u: int, low_v: int, span: int
) -> tuple[float, float, float, float]:
    """Return sign * direction at the centre of a tile, its steps to the next, and its spread."""
    a, b = sign * slopes[0] * span, sign * slopes[1] * span
    shift = 0.5 * (span - 1)
    middle = sign * (slopes[2] + (slopes[0] + slopes[1]) * shift) + a * low_u + b * low_v
    return middle, a, b, (abs(slopes[0]) + abs(slopes[1])) * shift


@inlined
def crossed(
    view: View,
    picture: Picture,
    key_x: int,
    key_y: int,
    key_z: int,
    rect: Int64Array,
    exits: bool,
    stack: Int64Array,
) -> bool:
    """Return whether a ray of the image passes through a cell that is not the one where it ends.

    rect: first and last column and row of the pixels that may see the cell. exits: whether rays cut
    to max_range may end in it; it holds no hit.
    """
    res, margin = view.resolution, view.margin
    slopes = view.slopes
    x = (key_x - _KEY_ORIGIN) * res - view.eye[0]
    y = (key_y - _KEY_ORIGIN) * res - view.eye[1]
    z = (key_z - _KEY_ORIGIN) * res - view.eye[2]
    sign_x, near_x, far_x, other_x = _faces(x, res, margin)
    sign_y, near_y, far_y, other_y = _faces(y, res, margin)
    sign_z, near_z, far_z, other_z = _faces(z, res, margin)
    # A ray that ends in the cell enters it too; to leave it, it must pass the far faces, here moved
    # inwards again by the share `slack` of their distance.
    slack = np.float32(1 + 4 * margin * max(max(far_x, far_y), far_z) + 1e-6)
    exits = exits and other_x == 0 and other_y == 0 and other_z == 0
    pyramid = picture.pyramid
    level = 0
    while max(rect[1] - rect[0], rect[3] - rect[2]) >> level >= 2 * _LANES:
        level += _STEP
    top = 1
    stack[0], stack[1], stack[2], stack[3], stack[4] = level, rect[0], rect[1], rect[2], rect[3]
    while top > 0:
        top -= 1
        level = stack[5 * top]
        first_u, last_u = stack[5 * top + 1] >> level, stack[5 * top + 2] >> level
        first_v, last_v = stack[5 * top + 3] >> level, stack[5 * top + 4] >> level
        span = 1 << level
        strict = exits and level == 0
        for u in range(first_u, last_u + 1, _LANES):
            dx, ax, bx, mx = _axis(slopes[0], sign_x, u, first_v, span)
            dy, ay, by, my = _axis(slopes[1], sign_y, u, first_v, span)
            dz, az, bz, mz = _axis(slopes[2], sign_z, u, first_v, span)
            enter_ax, enter_ay, enter_az = (
                np.float32(ax * near_x),
                np.float32(ay * near_y),
                np.float32(az * near_z),
            )
            leave_ax, leave_ay, leave_az = (
                np.float32(ax * far_x),
                np.float32(ay * far_y),
                np.float32(az * far_z),
            )
            for v in range(first_v, last_v + 1):
                enter_x = np.float32((dx + mx) * near_x) if near_x > 0 else _HUGE
                enter_y = np.float32((dy + my) * near_y) if near_y > 0 else _HUGE
                enter_z = np.float32((dz + mz) * near_z) if near_z > 0 else _HUGE
                leave_x = np.float32((dx - mx) * far_x)
                leave_y = np.float32((dy - my) * far_y)
                leave_z = np.float32((dz - mz) * far_z)
                dx += bx
                dy += by
                dz += bz
                base = pyramid.bases[level] + v * pyramid.pitches[level] + u
                tiles = pyramid.least[base : base + _LANES]
                found = np.int32(0)
                for i in range(_LANES):
                    lane = np.float32(i)
                    enter = enter_x + lane * enter_ax
                    other = enter_y + lane * enter_ay
                    enter = other if other < enter else enter
                    other = enter_z + lane * enter_az
                    enter = other if other < enter else enter
                    leave = leave_x + lane * leave_ax
                    other = leave_y + lane * leave_ay
                    leave = other if other > leave else leave
                    other = leave_z + lane * leave_az
                    leave = other if other > leave else leave
                    bound = leave * slack
                    bound = bound if strict & (bound < enter) else enter
                    hit = (leave < enter) & (tiles[i] < bound)
                    found |= (np.int32(1) << i) if hit else np.int32(0)
                while found != 0:
                    i = 0
                    while (found >> i) & 1 == 0:
                        i += 1
                    found &= found - 1
                    if u + i > last_u:
                        break
                    if level == 0:
                        if _passes(view, picture, u + i, v, key_x, key_y, key_z):
                            return True
                    else:
                        stack[5 * top] = level - _STEP
                        stack[5 * top + 1] = max((u + i) << level, rect[0])
                        stack[5 * top + 2] = min(((u + i + 1) << level) - 1, rect[1])
                        stack[5 * top + 3] = max(v << level, rect[2])
                        stack[5 * top + 4] = min(((v + 1) << level) - 1, rect[3])
                        top += 1
    return False


@inlined
def _passes(
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
    enter, leave, out = 0.0, 1.0, 1.0
    for axis, key, direction in ((0, key_x, dx), (1, key_y, dy), (2, key_z, dz)):
        low = (key - _KEY_ORIGIN) * view.resolution - view.eye[axis]
        first, last_, past = _clip(low, view.resolution, view.margin, np.float64(direction))
        enter, leave, out = max(enter, first), min(leave, last_), min(out, past)
    if enter < leave and out < 1.0:
        return True
    return _visits(rays.origin, dx, dy, dz, last, cell, view.resolution)


@inlined
def _clip(low: float, size: float, margin: float, direction: float) -> tuple[float, float, float]:
    """Return, in shares of a ray, where it enters and leaves a cell's extent along one axis.

    Both for the extent less a margin; and where it leaves the extent plus the margin.
    """
    high = low + size
    if direction == 0:
        return (0.0, 1.0, math.inf) if low + margin < 0 < high - margin else (1.0, 0.0, math.inf)
    if direction < 0:
        low, high, direction = -high, -low, -direction
    return (low + margin) / direction, (high - margin) / direction, (high + margin) / direction


@kernel
def _visits(
    origin: Float32Array,
    dx: np.float32,
    dy: np.float32,
    dz: np.float32,
    last: int,
    target: int,
    resolution: float,
) -> bool:
    """Walk one ray as OctoMap does; return whether it visits a cell before its last."""
    cell = cell_of(origin[0], origin[1], origin[2], 1.0 / resolution)
    if cell == last:
        return False
    length = np.float32(norm(dx, dy, dz))
    step_x, border_x, space_x = first_border(dx / length, origin[0], cell >> 32, resolution)
    step_y, border_y, space_y = first_border(
        dy / length, origin[1], (cell >> 16) & 0xFFFF, resolution
    )
    step_z, border_z, space_z = first_border(dz / length, origin[2], cell & 0xFFFF, resolution)
    reach = np.float64(length)
    while cell != target:
        if border_x < border_y:
            if border_x < border_z:
                cell += step_x * _X
                border_x += space_x
            else:
                cell += step_z
                border_z += space_z
        elif border_y < border_z:
            cell += step_y * _Y
            border_y += space_y
        else:
            cell += step_z
            border_z += space_z
        if cell == last or min(min(border_x, border_y), border_z) > reach:
            return False
    return True
