"""Which blocks of a map the rays of a depth image pass, told from its pyramid."""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.sweep.depth_pyramid import WINDOW, Pyramid, View
from cnn_perception.types import Float32Array, Float64Array, Int64Array

__all__ = [
    "BLUR",
    "ROUNDING",
    "collect_blocks",
    "least_of",
    "outside",
    "spread",
    "windows_over",
]

# Pixels by which projections may be wrong; more than float32 rounding of columns and rows.
BLUR = 0.02
# Share by which nearness times depth may be wrong.
ROUNDING = 1e-6
_BLOCK_ORIGIN = 1 << 12
_NOTHING, _WHOLE, _MIXED = 0, 1, 2


@inlined
def spread(project: Float64Array, axis: int, ratio: float) -> float:
    """Return how far a unit box reaches along (u * depth) - ratio * depth, likewise for v."""
    return (
        abs(project[axis, 0] - ratio * project[2, 0])
        + abs(project[axis, 1] - ratio * project[2, 1])
        + abs(project[axis, 2] - ratio * project[2, 2])
    )


@inlined
def outside(
    project: Float64Array, u: float, v: float, depth: float, half: float, width: int, height: int
) -> bool:
    """Return whether a box lies beyond one of the planes of the image's borders."""
    right, bottom = width - 1 + BLUR, height - 1 + BLUR
    return (
        u + BLUR * depth + half * spread(project, 0, -BLUR) < 0
        or u - right * depth - half * spread(project, 0, right) > 0
        or v + BLUR * depth + half * spread(project, 1, -BLUR) < 0
        or v - bottom * depth - half * spread(project, 1, bottom) > 0
    )


@inlined
def windows_over(
    pyramid: Pyramid, level: int, first_u: int, last_u: int, first_v: int, last_v: int
) -> tuple[int, int, int, int]:
    """Return where the four windows of tiles are that together cover some pixels, and no more.

    There may be twice as many tiles as a window has, at most.
    """
    left, top = first_u >> level, first_v >> level
    right = max((last_u >> level) - (WINDOW - 1), left)
    bottom = max((last_v >> level) - (WINDOW - 1), top)
    base, pitch = pyramid.bases[level], pyramid.pitches[level]
    top, bottom = base + top * pitch, base + bottom * pitch
    return top + left, top + right, bottom + left, bottom + right


@inlined
def least_of(windows: Float32Array, corners: tuple[int, int, int, int]) -> float:
    a, b, c, d = corners
    return np.float64(min(min(windows[a], windows[b]), min(windows[c], windows[d])))


@inlined
def _largest_of(windows: Float32Array, corners: tuple[int, int, int, int]) -> float:
    a, b, c, d = corners
    return np.float64(max(max(windows[a], windows[b]), max(windows[c], windows[d])))


@inlined
def _classify(view: View, pyramid: Pyramid, x: float, y: float, z: float, half: float) -> int:
    """Tell whether rays pass nothing, the whole or a part of a box around (x, y, z)."""
    project = view.project
    half += view.margin
    depth = project[2, 0] * x + project[2, 1] * y + project[2, 2] * z
    extent = half * spread(project, 2, 0.0)
    if depth + extent <= 0:
        return _NOTHING
    u = project[0, 0] * x + project[0, 1] * y + project[0, 2] * z
    v = project[1, 0] * x + project[1, 1] * y + project[1, 2] * z
    width, height = pyramid.widths[0], pyramid.heights[0]
    if outside(project, u, v, depth, half, width, height):
        return _NOTHING
    near, far = depth - extent, depth + extent
    if near >= view.horizon:
        return _NOTHING
    if near <= 0.1 * half:
        return _MIXED
    u, v = u / depth, v / depth
    wide = spread(project, 0, u) * half / near + BLUR
    high = spread(project, 1, v) * half / near + BLUR
    first_u, last_u = max(math.ceil(u - wide), 0), min(math.floor(u + wide), width - 1)
    first_v, last_v = max(math.ceil(v - high), 0), min(math.floor(v + high), height - 1)
    if first_u > last_u or first_v > last_v:
        return _NOTHING
    level = 0
    while max((last_u >> level) - (first_u >> level), (last_v >> level) - (first_v >> level)) >= 8:
        level += 1
    corners = windows_over(pyramid, level, first_u, last_u, first_v, last_v)
    if least_of(pyramid.longest, corners) * near > 1 + ROUNDING:
        return _NOTHING
    inside = u >= wide and u + wide <= width - 1 and v >= high and v + high <= height - 1
    if not inside or far >= min(view.limits[1], view.horizon) or pyramid.widths.size < 3:
        return _MIXED
    if level < 2:
        level = 2
        corners = windows_over(pyramid, level, first_u, last_u, first_v, last_v)
    if _largest_of(pyramid.shortest, corners) * far < 1 - ROUNDING:
        return _WHOLE
    return _MIXED


@kernel
def collect_blocks(
    view: View,
    pyramid: Pyramid,
    low: Int64Array,
    high: Int64Array,
    shift: int,
    stack: Int64Array,
    whole: Int64Array,
    mixed: Int64Array,
    counts: Int64Array,
) -> None:
    """List the blocks that rays pass, wholly or in part, among low <= block key <= high.

    Goes from cubes of 2^shift blocks down. Writes how many there are of each kind to `counts`, be
    it more than the lists can hold.
    """
    wholes, mixes = 0, 0
    size = 8 * view.resolution
    for root_x in range(low[0] >> shift, (high[0] >> shift) + 1):
        for root_y in range(low[1] >> shift, (high[1] >> shift) + 1):
            for root_z in range(low[2] >> shift, (high[2] >> shift) + 1):
                stack[0], stack[1], stack[2], stack[3] = root_x, root_y, root_z, shift
                top = 1
                while top > 0:
                    top -= 1
                    bx, by, bz = stack[4 * top], stack[4 * top + 1], stack[4 * top + 2]
                    level = stack[4 * top + 3]
                    half = 0.5 * size * (1 << level)
                    kind = _classify(
                        view,
                        pyramid,
                        ((bx << level) - _BLOCK_ORIGIN) * size + half - view.eye[0],
                        ((by << level) - _BLOCK_ORIGIN) * size + half - view.eye[1],
                        ((bz << level) - _BLOCK_ORIGIN) * size + half - view.eye[2],
                        half,
                    )
                    if kind == _NOTHING:
                        continue
                    if level > 0 and kind == _MIXED:
                        for child in range(8):
                            stack[4 * top] = 2 * bx + (child & 1)
                            stack[4 * top + 1] = 2 * by + ((child >> 1) & 1)
                            stack[4 * top + 2] = 2 * bz + (child >> 2)
                            stack[4 * top + 3] = level - 1
                            top += 1
                        continue
                    for x in range(bx << level, (bx + 1) << level):
                        for y in range(by << level, (by + 1) << level):
                            for z in range(bz << level, (bz + 1) << level):
                                code = (x << 26) | (y << 13) | z
                                if kind == _WHOLE:
                                    if wholes < whole.size:
                                        whole[wholes] = code
                                    wholes += 1
                                else:
                                    if mixes < mixed.size:
                                        mixed[mixes] = code
                                    mixes += 1
    counts[0], counts[1] = wholes, mixes
