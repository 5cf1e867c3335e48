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

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import KEY_ORIGIN
from cnn_perception.mapping.projection import PixelRays, coordinate
from cnn_perception.mapping.sweep.depth_pyramid import Pyramid, View
from cnn_perception.mapping.voxels.cell_kernels import (
    Point,
    advance,
    cell_of,
    cut_ray,
    norm,
    start_ray,
)
from cnn_perception.types import Float32Array, Int64Array

__all__ = ["Picture", "SearchSpace", "crossed", "make_search_space"]

_HUGE = np.float32(3e38)
# Tiles that are tested together, and the levels between a tile and the tiles in it.
_LANES = 16
_STEP = 2


class Picture(NamedTuple):
    """The image of a scan."""

    depth: Float32Array
    rays: PixelRays
    pyramid: Pyramid


@inlined
def _passes(
    view: View, picture: Picture, u: int, v: int, key_x: int, key_y: int, key_z: int
) -> bool:
    """Return whether the ray of a pixel, as OctoMap walks it, visits a cell before its last."""
    rays, z = picture.rays, picture.depth[v, u]
    ox, oy, oz = rays.origin[0], rays.origin[1], rays.origin[2]
    ex = coordinate(rays.columns[0, u], rays.rows[0, v], z, ox)
    ey = coordinate(rays.columns[1, u], rays.rows[1, v], z, oy)
    ez = coordinate(rays.columns[2, u], rays.rows[2, v], z, oz)
    dx, dy, dz = ex - ox, ey - oy, ez - oz
    if dx * dx + dy * dy + dz * dz > view.furthest:
        ex, ey, ez = cut_ray((ex, ey, ez), (ox, oy, oz), np.float32(view.max_range))
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
        low = (key - KEY_ORIGIN) * view.resolution - view.eye[axis]
        before, first, last_, past = _clip(low, view.resolution, doubt, np.float64(direction))
        enter, leave, out = max(enter, first), min(leave, last_), min(out, past)
        first_enter, last_leave = max(first_enter, before), min(last_leave, past)
    if enter < leave and out < 1.0:
        return True
    if first_enter > last_leave:
        return False
    return _visits((ox, oy, oz), (dx, dy, dz), last, cell, view.resolution)


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
def _visits(origin: Point, ray: Point, last: int, target: int, resolution: float) -> bool:
    """Walk one ray as OctoMap does; return whether it visits a cell before its last."""
    cell = cell_of(origin[0], origin[1], origin[2], 1.0 / resolution)
    if cell == last:
        return False
    dx, dy, dz = ray
    length = np.float32(norm(dx, dy, dz))
    unit, half = (dx / length, dy / length, dz / length), np.float64(np.float32(resolution * 0.5))
    step, border, spacing = start_ray(cell, origin, unit, resolution, half)
    reach = np.float64(length)
    while cell != target:
        before = cell
        cell, border, _, shift = advance(cell, step, border, spacing)
        # Steps are all in one direction: beyond the target there is no way back to it.
        key, wanted = (before >> shift) & 0xFFFF, (target >> shift) & 0xFFFF
        if wanted <= key if cell > before else wanted >= key:
            return False
        if cell == last or min(min(border[0], border[1]), border[2]) > reach:
            return False
    return True


class SearchSpace(NamedTuple):
    """Scratch of a search.

    rect: (4,) first and last column and row of the pixels that may see the cell; stack: (n, 5)
    level and rect of what is to be looked at; planes: (3, 3, 3) see `_set_faces`.
    """

    rect: Int64Array
    stack: Int64Array
    planes: Float32Array


def make_search_space() -> SearchSpace:
    """Return scratch for a search."""
    return SearchSpace(
        np.zeros(4, np.int64), np.zeros((256, 5), np.int64), np.zeros((3, 3, 3), np.float32)
    )


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
def _set_faces(
    planes: Float32Array,
    axis: int,
    view: View,
    faces: tuple[float, float, float, float],
    first_u: int,
    first_v: int,
    span: int,
) -> None:
    """Write one axis' faces, as nearness at a tile and its steps to the next column and row.

    planes: (3, 3, 3): near, far and other face; axis; value and steps.
    """
    sign, near, far, other = faces
    along_u, along_v = view.slopes[axis, 0], view.slopes[axis, 1]
    step_u, step_v = sign * along_u * span, sign * along_v * span
    shift = 0.5 * (span - 1)
    middle = sign * (view.slopes[axis, 2] + (along_u + along_v) * shift)
    middle += step_u * first_u + step_v * first_v
    spread = (abs(along_u) + abs(along_v)) * shift
    planes[0, axis, 0] = (middle + spread) * near if near > 0 else _HUGE
    planes[0, axis, 1], planes[0, axis, 2] = step_u * near, step_v * near
    planes[1, axis, 0] = (middle - spread) * far
    planes[1, axis, 1], planes[1, axis, 2] = step_u * far, step_v * far
    planes[2, axis, 0] = (-middle - spread) * other
    planes[2, axis, 1], planes[2, axis, 2] = -step_u * other, -step_v * other


@kernel
def _next_row(
    least: Float32Array,
    base: int,
    pitch: int,
    row: int,
    rows: int,
    planes: Float32Array,
    straddles: bool | None,
    slack: np.float32 | None,
) -> tuple[int, int]:
    """Return the first row, from `row` on, where a ray of some tile may pass the cell, and which.

    Sixteen tiles are tested at once, and told by the bits of a number. A ray passes if it is within
    the cell anywhere and does not end before; with slack, if it ends behind the cell. None for
    straddles or slack leaves that part out when this is compiled.
    """
    enter_x, enter_y, enter_z = planes[0, 0, 0], planes[0, 1, 0], planes[0, 2, 0]
    enter_xu, enter_yu, enter_zu = planes[0, 0, 1], planes[0, 1, 1], planes[0, 2, 1]
    enter_xv, enter_yv, enter_zv = planes[0, 0, 2], planes[0, 1, 2], planes[0, 2, 2]
    leave_x, leave_y, leave_z = planes[1, 0, 0], planes[1, 1, 0], planes[1, 2, 0]
    leave_xu, leave_yu, leave_zu = planes[1, 0, 1], planes[1, 1, 1], planes[1, 2, 1]
    leave_xv, leave_yv, leave_zv = planes[1, 0, 2], planes[1, 1, 2], planes[1, 2, 2]
    other_x, other_y, other_z = planes[2, 0, 0], planes[2, 1, 0], planes[2, 2, 0]
    other_xu, other_yu, other_zu = planes[2, 0, 1], planes[2, 1, 1], planes[2, 2, 1]
    other_xv, other_yv, other_zv = planes[2, 0, 2], planes[2, 1, 2], planes[2, 2, 2]
    while row < rows:
        v = np.float32(row)
        near_x, near_y, near_z = (
            enter_x + v * enter_xv,
            enter_y + v * enter_yv,
            enter_z + v * enter_zv,
        )
        far_x, far_y, far_z = leave_x + v * leave_xv, leave_y + v * leave_yv, leave_z + v * leave_zv
        if straddles is not None:
            back_x, back_y, back_z = (
                other_x + v * other_xv,
                other_y + v * other_yv,
                other_z + v * other_zv,
            )
        # Not a slice, whose references would be counted in every row.
        first = np.uint64(base + row * pitch)
        found = np.int32(0)
        for i in range(_LANES):
            u = np.float32(i)
            tile = least[first + np.uint64(i)]
            enter = near_x + u * enter_xu
            face = near_y + u * enter_yu
            enter = face if face < enter else enter
            face = near_z + u * enter_zu
            enter = face if face < enter else enter
            leave = far_x + u * leave_xu
            face = far_y + u * leave_yu
            leave = face if face > leave else leave
            face = far_z + u * leave_zu
            leave = face if face > leave else leave
            if straddles is not None:
                face = back_x + u * other_xu
                leave = face if face > leave else leave
                face = back_y + u * other_yu
                leave = face if face > leave else leave
                face = back_z + u * other_zu
                leave = face if face > leave else leave
            passes = (leave < enter) & (tile < enter)
            if slack is not None:
                passes &= tile < leave * slack
            found |= np.int32(1) << np.int32(i) if passes else np.int32(0)
        if found != 0:
            return row, np.int64(found)
        row += 1
    return rows, 0


@inlined
def crossed(
    view: View,
    picture: Picture,
    key_x: int,
    key_y: int,
    key_z: int,
    exits: bool,
    space: SearchSpace,
) -> bool:
    """Return whether a ray of the image passes through a cell that is not the one where it ends.

    The cell holds no hit, and is seen by the pixels of space.rect at most. exits: whether rays cut
    to max_range may end in it.
    """
    rect, stack, planes = space.rect, space.stack, space.planes
    res, margin, eye = view.resolution, view.margin, view.eye
    faces_x = _faces((key_x - KEY_ORIGIN) * res - eye[0], res, margin)
    faces_y = _faces((key_y - KEY_ORIGIN) * res - eye[1], res, margin)
    faces_z = _faces((key_z - KEY_ORIGIN) * res - eye[2], res, margin)
    straddles = faces_x[3] + faces_y[3] + faces_z[3] > 0
    # A ray that ends in the cell enters it too; to leave it, it must pass the far faces, here moved
    # inwards again by the share `slack` of their distance.
    slack = _HUGE
    if exits and not straddles:
        slack = np.float32(1 + 4 * margin * max(max(faces_x[2], faces_y[2]), faces_z[2]) + 1e-6)
    pyramid = picture.pyramid
    least = pyramid.least
    level = 0
    while max(rect[1] - rect[0], rect[3] - rect[2]) >> level >= _LANES:
        level += _STEP
    stack[0, 0] = level
    for i in range(4):
        stack[0, i + 1] = rect[i]
    top = 1
    while top > 0:
        top -= 1
        level = stack[top, 0]
        first_u, last_u = stack[top, 1] >> level, stack[top, 2] >> level
        first_v, last_v = stack[top, 3] >> level, stack[top, 4] >> level
        if last_u >= first_u + _LANES:
            last_u = first_u + _LANES - 1
            stack[top, 1] = (last_u + 1) << level
            top += 1
        span = 1 << level
        _set_faces(planes, 0, view, faces_x, first_u, first_v, span)
        _set_faces(planes, 1, view, faces_y, first_u, first_v, span)
        _set_faces(planes, 2, view, faces_z, first_u, first_v, span)
        pitch = pyramid.pitches[level]
        base = pyramid.bases[level] + first_v * pitch + first_u
        columns = (1 << (last_u - first_u + 1)) - 1
        row, rows = 0, last_v - first_v + 1
        while True:
            if level == 0:
                if straddles:
                    row, found = _next_row(least, base, pitch, row, rows, planes, True, slack)
                else:
                    row, found = _next_row(least, base, pitch, row, rows, planes, None, slack)
            elif straddles:
                row, found = _next_row(least, base, pitch, row, rows, planes, True, None)
            else:
                row, found = _next_row(least, base, pitch, row, rows, planes, None, None)
            if row == rows:
                break
            found &= columns
            if level == 0:
                for i in range(_LANES):
                    if (found >> i) & 1 and _passes(
                        view, picture, first_u + i, first_v + row, key_x, key_y, key_z
                    ):
                        return True
            elif found != 0:
                left, right = 0, _LANES - 1
                while (found >> left) & 1 == 0:
                    left += 1
                while (found >> right) & 1 == 0:
                    right -= 1
                stack[top, 0] = level - _STEP
                stack[top, 1] = max((first_u + left) << level, rect[0])
                stack[top, 2] = min(((first_u + right + 1) << level) - 1, rect[1])
                stack[top, 3] = max((first_v + row) << level, rect[2])
                stack[top, 4] = min(((first_v + row + 1) << level) - 1, rect[3])
                top += 1
            row += 1
    return False
