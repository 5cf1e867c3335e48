"""Which cells of a block the rays of a depth image pass.

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

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.sweep.depth_judgement import (
    Judgement,
    judge_block,
    large_rect,
    small_rect,
)
from cnn_perception.mapping.sweep.depth_pyramid import View
from cnn_perception.mapping.sweep.depth_ray import Picture
from cnn_perception.mapping.sweep.depth_search import SearchSpace, crossed
from cnn_perception.mapping.voxels.rays import block_of, index_in_block
from cnn_perception.mapping.voxels.voxel_kernels import (
    CELLS,
    FREE,
    OCCUPIED,
    Store,
    find,
    marked_row,
    touch,
)
from cnn_perception.types import Int64Array, UInt8Array

__all__ = ["mark_ends", "mark_mixed", "mark_whole"]

_BLOCK_ORIGIN = 1 << 12
_INSIDE_BLOCK = (7 << 32) | (7 << 16) | 7


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
    corner, row = np.int64(1) << 62, np.int64(0)  # the corner of no block
    for i in range(start, cells.size):
        cell = cells[i]
        if (cell ^ corner) & ~_INSIDE_BLOCK != 0:
            if cell < 0:
                continue
            row = marked_row(codes, slots, mark_rows, block_of(cell))
            if row < 0:
                return i, block_of(cell)
            corner = cell
        # Marking a cell again is faster than to find out that it is the same as the last.
        marks[row, index_in_block(cell)] = OCCUPIED
    return cells.size, -1


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


@kernel
def mark_mixed(
    store: Store,
    view: View,
    picture: Picture,
    blocks: Int64Array,
    start: int,
    judgement: Judgement,
    space: SearchSpace,
) -> int:
    """Mark the cells of blocks that rays pass as free, from `start` on.

    Returns how many are done: fewer than there are when a pool is full.
    """
    project, pyramid, eye, offsets = view.project, picture.pyramid, view.eye, view.offsets
    size = 8 * view.resolution
    states, places, rect = judgement.states, judgement.places, space.rect
    for i in range(start, blocks.size):
        code = blocks[i]
        bx, by, bz = code >> 26, (code >> 13) & 8191, code & 8191
        x = (bx - _BLOCK_ORIGIN + 0.5) * size - eye[0]
        y = (by - _BLOCK_ORIGIN + 0.5) * size - eye[1]
        z = (bz - _BLOCK_ORIGIN + 0.5) * size - eye[2]
        u = project[0, 0] * x + project[0, 1] * y + project[0, 2] * z
        v = project[1, 0] * x + project[1, 1] * y + project[1, 2] * z
        depth = project[2, 0] * x + project[2, 1] * y + project[2, 2] * z
        exits = math.sqrt(x * x + y * y + z * z) + 0.8661 * size + view.margin >= view.max_range
        level, wide, high = judge_block(view, pyramid, u, v, depth, judgement)
        slot = find(store, code)
        row = np.int64(-1) if slot < 0 else np.int64(store.mark_rows[slot])
        free = 0
        for cell in range(CELLS):
            if states[cell] == 0:
                continue
            if row >= 0 and store.marks[row, cell] == OCCUPIED:
                states[cell] = 0
            elif states[cell] == 2:
                if level >= 0:
                    near = places[2, cell] - view.extent
                    possible = small_rect(
                        pyramid, level, places[0, cell], places[1, cell], near, wide, high, rect
                    )
                else:
                    possible = large_rect(
                        view,
                        pyramid,
                        u + offsets[0, cell],
                        v + offsets[1, cell],
                        depth + offsets[2, cell],
                        rect,
                    )
                states[cell] = possible and crossed(
                    view,
                    picture,
                    (bx << 3) | (cell & 7),
                    (by << 3) | ((cell >> 3) & 7),
                    (bz << 3) | (cell >> 6),
                    exits,
                    space,
                )
            free += states[cell]
        if free == 0:
            continue
        row = touch(store, code)
        if row < 0:
            return i
        if free == CELLS:
            store.whole[row] = 1
            store.marks[row, :] = 0
        else:
            marks = store.marks[row]
            for cell in range(CELLS):
                marks[cell] |= states[cell]
    return blocks.size
