"""What the pyramid of a depth image tells of a block's cells, before any ray is looked at."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined
from cnn_perception.mapping.sweep.depth_blocks import (
    BLUR,
    ROUNDING,
    least_of,
    outside,
    spread,
    windows_over,
)
from cnn_perception.mapping.sweep.depth_pyramid import RING, Pyramid, View
from cnn_perception.mapping.voxels.voxel_kernels import CELLS
from cnn_perception.types import Float32Array, Int64Array, UInt8Array

__all__ = ["Judgement", "judge_block", "large_rect", "make_judgement", "small_rect"]


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
    extent, bound = np.float32(view.extent), np.float32(1 + ROUNDING)
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
    wide, high = wide / near + BLUR, high / near + BLUR
    left, right = max(math.ceil(u - wide), 0), min(math.floor(u + wide), pyramid.widths[0] - 1)
    top, bottom = max(math.ceil(v - high), 0), min(math.floor(v + high), pyramid.heights[0] - 1)
    if left > right or top > bottom:
        return False
    rect[0], rect[1], rect[2], rect[3] = left, right, top, bottom
    corners = windows_over(pyramid, level, left, right, top, bottom)
    return least_of(pyramid.longest, corners) * near <= 1 + ROUNDING


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
        and not outside(view.project, u, v, depth, half, width, height)
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
    wide, high = spread(project, 0, u / depth), spread(project, 1, v / depth)
    change = 7 * half * spread(project, 2, 0.0) / near
    wide, high = half * wide * (1 + change), half * high * (1 + change)
    columns, rows = wide / (near - extent) + BLUR, high / (near - extent) + BLUR
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
