"""Which blocks, and which of their cells, the rays of a depth image pass: told from its pyramid.

Three answers need no look at a ray: a block or cell is passed nowhere when even the longest ray of
all pixels that may see it ends before it; it is passed when some ray of a tile, so small that each
of its rays comes within half a cell of the cell's centre, ends beyond that centre; and so is each
cell of a block in front of all that its pixels see. For the rest there is `depth_search`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import BLOCK_BITS, CELLS, KEY_ORIGIN
from cnn_perception.mapping.sweep.depth_pyramid import RING, WINDOW, Pyramid, View
from cnn_perception.mapping.voxels.cell_kernels import block_code
from cnn_perception.types import Float32Array, Float64Array, Int64Array, UInt8Array

__all__ = [
    "Judgement",
    "collect_blocks",
    "judge_block",
    "large_rect",
    "make_judgement",
    "small_rect",
]

# Pixels by which projections may be wrong; more than float32 rounding of columns and rows.
_BLUR = 0.02
# Share by which nearness times depth may be wrong.
_ROUNDING = 1e-6
_BLOCK_ORIGIN = KEY_ORIGIN >> BLOCK_BITS
_NOTHING, _WHOLE, _MIXED = 0, 1, 2


@inlined
def _spread(project: Float64Array, axis: int, ratio: float) -> float:
    """Return how far a unit box reaches along (u * depth) - ratio * depth, likewise for v."""
    return (
        abs(project[axis, 0] - ratio * project[2, 0])
        + abs(project[axis, 1] - ratio * project[2, 1])
        + abs(project[axis, 2] - ratio * project[2, 2])
    )


@inlined
def _outside(
    project: Float64Array, u: float, v: float, depth: float, half: float, width: int, height: int
) -> bool:
    """Return whether a box lies beyond one of the planes of the image's borders."""
    right, bottom = width - 1 + _BLUR, height - 1 + _BLUR
    return (
        u + _BLUR * depth + half * _spread(project, 0, -_BLUR) < 0
        or u - right * depth - half * _spread(project, 0, right) > 0
        or v + _BLUR * depth + half * _spread(project, 1, -_BLUR) < 0
        or v - bottom * depth - half * _spread(project, 1, bottom) > 0
    )


@inlined
def _windows_over(
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
def _least_of(windows: Float32Array, corners: tuple[int, int, int, int]) -> float:
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
    extent = half * _spread(project, 2, 0.0)
    if depth + extent <= 0:
        return _NOTHING
    u = project[0, 0] * x + project[0, 1] * y + project[0, 2] * z
    v = project[1, 0] * x + project[1, 1] * y + project[1, 2] * z
    width, height = pyramid.widths[0], pyramid.heights[0]
    if _outside(project, u, v, depth, half, width, height):
        return _NOTHING
    near, far = depth - extent, depth + extent
    if near >= view.horizon:
        return _NOTHING
    if near <= 0.1 * half:
        return _MIXED
    u, v = u / depth, v / depth
    wide = _spread(project, 0, u) * half / near + _BLUR
    high = _spread(project, 1, v) * half / near + _BLUR
    first_u, last_u = max(math.ceil(u - wide), 0), min(math.floor(u + wide), width - 1)
    first_v, last_v = max(math.ceil(v - high), 0), min(math.floor(v + high), height - 1)
    if first_u > last_u or first_v > last_v:
        return _NOTHING
    level = 0
    while max((last_u >> level) - (first_u >> level), (last_v >> level) - (first_v >> level)) >= 8:
        level += 1
    corners = _windows_over(pyramid, level, first_u, last_u, first_v, last_v)
    if _least_of(pyramid.longest, corners) * near > 1 + _ROUNDING:
        return _NOTHING
    inside = u >= wide and u + wide <= width - 1 and v >= high and v + high <= height - 1
    if not inside or far >= min(view.limits[1], view.horizon) or pyramid.widths.size < 3:
        return _MIXED
    if level < 2:
        level = 2
        corners = _windows_over(pyramid, level, first_u, last_u, first_v, last_v)
    if _largest_of(pyramid.shortest, corners) * far < 1 - _ROUNDING:
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
                                code = block_code(x, y, z)
                                if kind == _WHOLE:
                                    if wholes < whole.size:
                                        whole[wholes] = code
                                    wholes += 1
                                else:
                                    if mixes < mixed.size:
                                        mixed[mixes] = code
                                    mixes += 1
    counts[0], counts[1] = wholes, mixes


class Judgement(NamedTuple):
    """What is known of the cells of one block.

    states: (512,) 0 not passed, 1 passed, 2 not known; places: (3, 512) columns, rows and depths;
    tiles: (2, 512) indices into the pyramid.
    """

    states: UInt8Array
    places: Float32Array
    tiles: NDArray[np.uint32]


def make_judgement() -> Judgement:
    """Return arrays for one block."""
    return Judgement(
        np.zeros(CELLS, np.uint8),
        np.zeros((3, CELLS), np.float32),
        np.zeros((2, CELLS), np.uint32),
    )


@inlined
def _judge_cells(
    view: View,
    pyramid: Pyramid,
    u: np.float32,
    v: np.float32,
    depth: np.float32,
    sure_level: int,
    level: int,
    wide: np.float32,
    high: np.float32,
    judgement: Judgement,
) -> None:
    """Judge the cells of a block in front of the camera.

    wide, high: upper bounds of how far cells reach in the image. In two loops, of which the first
    computes several cells at a time.
    """
    states, places, tiles = judgement.states, judgement.places, judgement.tiles
    one, zero = np.float32(1), np.float32(0)
    extent, bound = np.float32(view.extent), np.float32(1 + _ROUNDING)
    horizon = np.float32(view.horizon)
    sure, longest, offsets = pyramid.sure, pyramid.longest, view.offsets
    sure_pitch, pitch = np.int32(pyramid.pitches[sure_level]), np.int32(pyramid.pitches[level])
    sure_base = np.int32(pyramid.bases[sure_level] - RING * pyramid.pitches[sure_level] - RING)
    base = np.int32(pyramid.bases[level] - RING * pyramid.pitches[level] - RING)
    sure_scale, scale = np.float32(1.0 / (1 << sure_level)), np.float32(1.0 / (1 << level))
    sure_right = np.float32(pyramid.widths[sure_level] + RING)
    sure_bottom = np.float32(pyramid.heights[sure_level] + RING)
    right = np.float32(pyramid.widths[level] + RING)
    bottom = np.float32(pyramid.heights[level] + RING)
    sure_shift = np.float32(0.5) * sure_scale + np.float32(RING)
    left, top = np.float32(RING) - wide * scale, np.float32(RING) - high * scale
    for i in range(CELLS):
        z = depth + offsets[2, i]
        inverse = one / z
        column = (u + offsets[0, i]) * inverse
        row = (v + offsets[1, i]) * inverse
        places[0, i], places[1, i], places[2, i] = column, row, z
        a, b = column * sure_scale + sure_shift, row * sure_scale + sure_shift
        a = a if a > zero else zero
        a = a if a < sure_right else sure_right
        b = b if b > zero else zero
        b = b if b < sure_bottom else sure_bottom
        tiles[0, i] = sure_base + np.int32(b) * sure_pitch + np.int32(a)
        a, b = column * scale + left, row * scale + top
        a = a if a > zero else zero
        a = a if a < right else right
        b = b if b > zero else zero
        b = b if b < bottom else bottom
        tiles[1, i] = base + np.int32(b) * pitch + np.int32(a)
    for i in range(CELLS):
        z = places[2, i]
        passed = sure[tiles[0, i]] * z < one
        near = z - extent
        possible = (longest[tiles[1, i]] * near <= bound) & (near < horizon)
        passed &= near < horizon
        states[i] = np.uint8(passed) | (np.uint8(possible & (not passed)) << np.uint8(1))


@inlined
def small_rect(
    pyramid: Pyramid,
    level: int,
    u: float,
    v: float,
    near: float,
    wide: float,
    high: float,
    rect: Int64Array,
) -> bool:
    """Find the pixels that may see a cell; return whether there are any whose rays come so far.

    wide, high: how far the cell reaches in the image, times its nearest depth.
    """
    wide, high = wide / near + _BLUR, high / near + _BLUR
    left, right = max(math.ceil(u - wide), 0), min(math.floor(u + wide), pyramid.widths[0] - 1)
    top, bottom = max(math.ceil(v - high), 0), min(math.floor(v + high), pyramid.heights[0] - 1)
    if left > right or top > bottom:
        return False
    rect[0], rect[1], rect[2], rect[3] = left, right, top, bottom
    corners = _windows_over(pyramid, level, left, right, top, bottom)
    return _least_of(pyramid.longest, corners) * near <= 1 + _ROUNDING


@inlined
def large_rect(
    view: View, pyramid: Pyramid, u: float, v: float, depth: float, rect: Int64Array
) -> bool:
    """Give a cell beside the camera the whole image; return whether any pixel may see it."""
    width, height = pyramid.widths[0], pyramid.heights[0]
    rect[0], rect[1], rect[2], rect[3] = 0, width - 1, 0, height - 1
    half = 0.5 * view.resolution + view.margin
    return (
        depth + view.extent > 0
        and depth - view.extent < view.horizon
        and not _outside(view.project, u, v, depth, half, width, height)
    )


@inlined
def judge_block(
    view: View, pyramid: Pyramid, u: float, v: float, depth: float, judgement: Judgement
) -> tuple[int, float, float]:
    """Judge the cells of a block from the projection of its centre.

    Returns the level whose windows hold a cell, -1 for a block beside the camera, and how far cells
    reach along columns and rows, times their nearest depth.
    """
    project, extent = view.project, view.extent
    half = 0.5 * view.resolution + view.margin
    near, far = depth - 7 * extent, depth + 7 * extent  # of the cells' centres
    if near - extent <= 0.1 * view.resolution:
        judgement.states[:] = 2
        return -1, 0.0, 0.0
    # Spreads change with the ratio u / depth, which differs over the block by up to `change`.
    wide, high = _spread(project, 0, u / depth), _spread(project, 1, v / depth)
    change = 7 * half * _spread(project, 2, 0.0) / near
    wide, high = half * wide * (1 + change), half * high * (1 + change)
    columns, rows = wide / (near - extent) + _BLUR, high / (near - extent) + _BLUR
    last = pyramid.widths.size - 1
    level = 0
    while 3 << level < 2 * max(columns, rows):
        level += 1
    if level > last:
        judgement.states[:] = 2
        return -1, 0.0, 0.0
    sure_level = 0
    while sure_level < last and far <= view.limits[sure_level + 1]:
        sure_level += 1
    _judge_cells(
        view,
        pyramid,
        np.float32(u),
        np.float32(v),
        np.float32(depth),
        sure_level,
        level,
        np.float32(columns),
        np.float32(rows),
        judgement,
    )
    return max(level - 1, 0), wide, high
