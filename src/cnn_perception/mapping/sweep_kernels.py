"""The sweep of a map's blocks through a depth image: which cells its rays pass.

A cell that holds no hit is free if and only if some ray goes through it. Three answers come from
the pyramid of nearness, without looking at a ray: a block or cell is passed nowhere when even the
longest ray of all pixels that may see it ends before it; it is passed when some ray of a tile, so
small that each of its rays comes within half a cell of the cell's centre, ends beyond that centre;
and so is each cell of a block in front of all that its pixels see. The few cells left, at surfaces,
silhouettes and the borders of the image, are searched ray by ray.
"""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.mapping.depth_pyramid import Pyramid, View
from cnn_perception.mapping.depth_search import Picture, crossed
from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.rays import block_of, index_in_block
from cnn_perception.mapping.voxel_kernels import (
    CELLS,
    FREE,
    OCCUPIED,
    Store,
    find,
    marked_row,
    touch,
)
from cnn_perception.types import Float32Array, Float64Array, Int64Array, UInt8Array

__all__ = ["collect_blocks", "mark_ends", "mark_mixed", "mark_whole"]

_KEY_ORIGIN = 1 << 15
_INSIDE_BLOCK = (7 << 32) | (7 << 16) | 7
_NOTHING, _WHOLE, _MIXED = 0, 1, 2
# Pixels by which projections may be wrong; more than float32 rounding of columns and rows.
_BLUR = 0.02
# Share by which nearness times depth may be wrong.
_ROUNDING = 1e-6


@kernel
def mark_ends(store: Store, cells: Int64Array, start: int) -> int:
    """Mark the cells where rays end as occupied, from `start` on; -1 is no cell.

    Returns how many are done: fewer than there are when a pool is full.
    """
    done, missing = _mark_ends(store, cells, start)
    while missing >= 0 and touch(store, missing) >= 0:
        done, missing = _mark_ends(store, cells, done)
    return done


@kernel
def _mark_ends(store: Store, cells: Int64Array, start: int) -> tuple[int, int]:
    """Mark until one is in a block that this scan has not touched; return that block's code."""
    marks, mark_rows = store.marks, store.mark_rows
    codes, slots = store.directory_codes, store.directory_slots
    previous, corner, row = np.int64(-1), np.int64(-1), np.int64(-1)
    for i in range(start, cells.size):
        cell = cells[i]
        if cell == previous or cell < 0:
            continue
        previous = cell
        if (cell ^ corner) & ~_INSIDE_BLOCK != 0:
            row = marked_row(codes, slots, mark_rows, block_of(cell))
            if row < 0:
                return i, block_of(cell)
            corner = cell
        marks[row, index_in_block(cell)] = OCCUPIED
    return cells.size, -1


@inlined
def _spread(project: Float64Array, axis: int, ratio: float) -> float:
    """Return how far a unit box reaches along (u * depth) - ratio * depth, likewise for v."""
    return (
        abs(project[axis, 0] - ratio * project[2, 0])
        + abs(project[axis, 1] - ratio * project[2, 1])
        + abs(project[axis, 2] - ratio * project[2, 2])
    )


@inlined
def _tile(position: float, level: int, size: int) -> int:
    """Return the tile of a row or column position; those far outside are the empty ring's."""
    place = (position + 0.5) / (1 << level)
    return np.int64(math.floor(min(max(place, -2.0), size + 1.0)))


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
def _level_around(reach: float) -> int:
    """Return the lowest level where a tile and its neighbours hold all within `reach` pixels."""
    level = 1
    while (1 << level) < reach:
        level += 1
    return level


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
    near = depth - extent
    if near <= 0.1 * half:
        return _MIXED
    u, v = u / depth, v / depth
    reach = max(_spread(project, 0, u), _spread(project, 1, v)) * half / near + _BLUR
    level = _level_around(reach)
    if level >= pyramid.widths.size:
        return _MIXED
    place = (
        pyramid.bases[level]
        + _tile(v, level, pyramid.heights[level]) * pyramid.pitches[level]
        + _tile(u, level, pyramid.widths[level])
    )
    if np.float64(pyramid.around[place]) * near > 1 + _ROUNDING:
        return _NOTHING
    far = depth + extent
    sure = level >= 2 and far < view.limits[1]
    if sure and np.float64(pyramid.most[place]) * far < 1 - _ROUNDING:
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
                        ((bx << level) - (_KEY_ORIGIN >> 3)) * size + half - view.eye[0],
                        ((by << level) - (_KEY_ORIGIN >> 3)) * size + half - view.eye[1],
                        ((bz << level) - (_KEY_ORIGIN >> 3)) * size + half - view.eye[2],
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


@kernel
def mark_whole(store: Store, blocks: Int64Array, start: int) -> int:
    """Mark all cells of blocks as free, from `start` on.

    Returns how many are done: fewer than there are when a pool is full.
    """
    for i in range(start, blocks.size):
        row = touch(store, blocks[i])
        if row < 0:
            return i
        hits = np.uint8(0)
        for cell in range(CELLS):
            hits |= store.marks[row, cell]
        if hits == 0:
            store.whole[row] = 1
        else:
            _mark_free(store.marks[row])
    return blocks.size


@inlined
def _mark_free(marks: UInt8Array) -> None:
    for cell in range(CELLS):
        marks[cell] = FREE if marks[cell] == 0 else marks[cell]


@inlined
def _judge_cells(
    pyramid: Pyramid,
    offsets: Float32Array,
    u: np.float32,
    v: np.float32,
    depth: np.float32,
    sure_level: int,
    lead: np.float32,
    around_level: int,
    extent: np.float32,
    states: UInt8Array,
) -> None:
    """Tell of each cell of a block in front of the camera: 0 not passed, 1 passed, 2 not known."""
    one, two, half = np.float32(1), np.float32(2), np.float32(0.5)
    bound = np.float32(1 + _ROUNDING)
    least, around = pyramid.sure, pyramid.around
    sure_pitch = np.int32(pyramid.pitches[sure_level])
    sure_base = np.int32(pyramid.bases[sure_level] - 2 * pyramid.pitches[sure_level] - 2)
    sure_scale = np.float32(1.0 / (1 << sure_level))
    sure_right = np.float32(pyramid.widths[sure_level] + 3)
    sure_bottom = np.float32(pyramid.heights[sure_level] + 3)
    pitch = np.int32(pyramid.pitches[around_level])
    base = np.int32(pyramid.bases[around_level] - 2 * pyramid.pitches[around_level] - 2)
    scale = np.float32(1.0 / (1 << around_level))
    right = np.float32(pyramid.widths[around_level] + 3)
    bottom = np.float32(pyramid.heights[around_level] + 3)
    zero = np.float32(0)
    for i in range(CELLS):
        z = depth + offsets[2, i]
        inverse = one / z
        column = (u + offsets[0, i]) * inverse + half
        row = (v + offsets[1, i]) * inverse + half
        a = column * sure_scale + two
        a = a if a > zero else zero
        a = a if a < sure_right else sure_right
        b = row * sure_scale + two
        b = b if b > zero else zero
        b = b if b < sure_bottom else sure_bottom
        sure = least[sure_base + np.int32(b) * sure_pitch + np.int32(a)]
        a = column * scale + two
        a = a if a > zero else zero
        a = a if a < right else right
        b = row * scale + two
        b = b if b > zero else zero
        b = b if b < bottom else bottom
        any_ = around[base + np.int32(b) * pitch + np.int32(a)]
        passed = sure * (z + lead) < one
        possible = any_ * (z - extent) <= bound
        states[i] = np.uint8(1) if passed else (np.uint8(2) if possible else np.uint8(0))


@inlined
def _rect(
    view: View, u: float, v: float, depth: float, width: int, height: int, rect: Int64Array
) -> bool:
    """Find the pixels that may see a cell; return whether there are any."""
    project = view.project
    half = 0.5 * view.resolution + view.margin
    extent = half * _spread(project, 2, 0.0)
    if depth + extent <= 0 or _outside(project, u, v, depth, half, width, height):
        return False
    rect[0], rect[1], rect[2], rect[3] = 0, width - 1, 0, height - 1
    near = depth - extent
    if near > 0.1 * half:
        u, v = u / depth, v / depth
        reach = _spread(project, 0, u) * half / near + _BLUR
        rect[0] = math.ceil(min(max(u - reach, 0.0), width + 0.0))
        rect[1] = math.floor(max(min(u + reach, width - 1.0), -1.0))
        reach = _spread(project, 1, v) * half / near + _BLUR
        rect[2] = math.ceil(min(max(v - reach, 0.0), height + 0.0))
        rect[3] = math.floor(max(min(v + reach, height - 1.0), -1.0))
    return rect[0] <= rect[1] and rect[2] <= rect[3]


@kernel
def mark_mixed(
    store: Store,
    view: View,
    picture: Picture,
    blocks: Int64Array,
    start: int,
    scratch: Int64Array,
    planes: Float32Array,
    states: UInt8Array,
    tally: Int64Array,
) -> int:
    """Mark the cells of blocks that rays pass as free, from `start` on.

    Returns how many are done: fewer than there are when a pool is full.
    """
    project, pyramid, eye = view.project, picture.pyramid, view.eye
    width, height = pyramid.widths[0], pyramid.heights[0]
    size = 8 * view.resolution
    half_cell = 0.5 * view.resolution + view.margin
    extent = half_cell * _spread(project, 2, 0.0)
    rect, stack = scratch[:4], scratch[4:]
    top_level = pyramid.widths.size - 1
    for i in range(start, blocks.size):
        code = blocks[i]
        bx, by, bz = code >> 26, (code >> 13) & 8191, code & 8191
        x = (bx - (_KEY_ORIGIN >> 3) + 0.5) * size - eye[0]
        y = (by - (_KEY_ORIGIN >> 3) + 0.5) * size - eye[1]
        z = (bz - (_KEY_ORIGIN >> 3) + 0.5) * size - eye[2]
        depth = project[2, 0] * x + project[2, 1] * y + project[2, 2] * z
        u = project[0, 0] * x + project[0, 1] * y + project[0, 2] * z
        v = project[1, 0] * x + project[1, 1] * y + project[1, 2] * z
        near, far = depth - 7 * extent, depth + 7 * extent  # of the cells' centres
        cut = math.sqrt(x * x + y * y + z * z) + 0.8661 * size + view.margin >= view.max_range
        level = top_level + 1
        if near - extent > 0.1 * view.resolution:
            column, line = u / depth, v / depth
            # Bounded over the block: the ratio u / depth of its cells differs from its centre's.
            wide = _spread(project, 0, column) * 7 * half_cell / near
            high = _spread(project, 1, line) * 7 * half_cell / near
            flat = _spread(project, 2, 0.0)
            reach = max(
                _spread(project, 0, column) + wide * flat, _spread(project, 1, line) + high * flat
            )
            level = _level_around(reach * half_cell / (near - extent) + _BLUR)
        if level <= top_level:
            sure_level = 0
            while sure_level < top_level and far <= view.limits[sure_level + 1]:
                sure_level += 1
            lead = 0.0 if far <= view.limits[0] else math.inf
            _judge_cells(
                pyramid,
                view.offsets,
                np.float32(u),
                np.float32(v),
                np.float32(depth),
                sure_level,
                np.float32(lead),
                level,
                np.float32(extent),
                states,
            )
        else:
            states[:] = 2
        row = np.int64(-1)
        slot = find(store, code)
        if slot >= 0:
            row = np.int64(store.mark_rows[slot])
        free = 0
        tally[0] += 1
        for cell in range(CELLS):
            if row >= 0 and store.marks[row, cell] == OCCUPIED:
                states[cell] = 0
            if states[cell] == 2:
                tally[1] += 1
                states[cell] = _rect(
                    view,
                    u + view.offsets[0, cell],
                    v + view.offsets[1, cell],
                    depth + view.offsets[2, cell],
                    width,
                    height,
                    rect,
                ) and crossed(
                    view,
                    picture,
                    (bx << 3) | (cell & 7),
                    (by << 3) | ((cell >> 3) & 7),
                    (bz << 3) | (cell >> 6),
                    rect,
                    cut,
                    stack,
                    planes,
                )
                tally[2] += states[cell]
            free += states[cell]
        if free == 0:
            continue
        row = touch(store, code)
        if row < 0:
            return i
        if free == CELLS:
            store.whole[row] = 1
            continue
        marks = store.marks[row]
        for cell in range(CELLS):
            marks[cell] |= states[cell]
    return blocks.size
