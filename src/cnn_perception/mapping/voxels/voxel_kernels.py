"""The arrays of the voxel store, and the kernels that find, mark and update its blocks.

A block is a cube of 8 x 8 x 8 cells: a node of depth 13 in OctoMap's tree. Blocks are found through
a hash table; the log-odds of a block's cells lie together, so that one scan's update is a straight
pass over 512 numbers. A block whose cells are all equal holds that one number only, as OctoMap's
pruned nodes do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import CELLS, INSIDE_BLOCK
from cnn_perception.mapping.voxels.cell_kernels import (
    block_code,
    block_corner,
    block_of,
    index_in_block,
)
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "BLOCKS",
    "FREE",
    "FREE_ROWS",
    "MARKED",
    "OCCUPIED",
    "VERSION",
    "Store",
    "allocate_marks",
    "expand",
    "find",
    "hashed",
    "index_blocks",
    "lookup",
    "mark_hits",
    "marked_row",
    "merge",
    "place_of",
    "prune_all",
    "prune_block",
    "put_cubes",
    "set_box",
]

# What a scan says of a cell; 0 is nothing.
FREE, OCCUPIED = 1, 2
# Places in Store.counts.
BLOCKS, MARKED, FREE_ROWS, VERSION = 0, 1, 2, 3

_HASH_FACTOR = 0x1E3779B97F4A7C15


class Store(NamedTuple):
    """The arrays of a VoxelStore, as kernels take them; codes and indices are those of `keys`."""

    directory_codes: NDArray[np.int64]  # open addressing; -1 is empty
    directory_slots: NDArray[np.int32]
    codes: NDArray[np.int64]  # by slot
    rows: NDArray[np.int32]  # by slot: row of values, or -1 for a block of equal cells
    constants: Float32Array  # by slot: that equal value; NaN is unknown
    versions: NDArray[np.int64]  # by slot: the store's version when the block last changed
    mark_rows: NDArray[np.int32]  # by slot: row of marks in this scan, or -1
    values: Float32Array  # (rows, 512) log-odds; NaN is unknown
    free_rows: NDArray[np.int32]  # stack of the rows that no block has
    marks: UInt8Array  # (rows, 512) of this scan; all zero between scans
    whole: UInt8Array  # by row of marks: 1 if all cells are FREE, whatever the row says
    marked: NDArray[np.int32]  # by row of marks: the slot
    counts: NDArray[np.int64]  # blocks, marked blocks, free rows, version


@inlined
def hashed(number: int, mask: int) -> int:
    """Return a number's home in a hash table of mask + 1 places, a power of two."""
    return ((number * _HASH_FACTOR) >> 32) & mask


@inlined
def place_of(codes: NDArray[np.int64], code: int) -> int:
    """Return where a block's code is in the hash table, or the empty place where it belongs."""
    mask = codes.size - 1
    place = hashed(code, mask)
    while codes[place] != code and codes[place] != -1:
        place = (place + 1) & mask
    return place


@kernel
def index_blocks(
    codes: NDArray[np.int64], slots: NDArray[np.int32], blocks: NDArray[np.int64]
) -> None:
    """Enter blocks, by slot, into an empty hash table."""
    for slot in range(blocks.size):
        place = place_of(codes, blocks[slot])
        codes[place] = blocks[slot]
        slots[place] = slot


@inlined
def find(store: Store, code: int) -> int:
    """Return the slot of a block, or -1."""
    place = place_of(store.directory_codes, code)
    if store.directory_codes[place] == -1:
        return -1
    return np.int64(store.directory_slots[place])


@inlined
def _allocate_block(store: Store, code: int) -> int:
    """Return the slot of a block, made unknown if it is new; -1 when there is no slot left."""
    place = place_of(store.directory_codes, code)
    if store.directory_codes[place] == code:
        return np.int64(store.directory_slots[place])
    slot = store.counts[BLOCKS]
    if slot == store.codes.size:
        return -1
    store.directory_codes[place] = code
    store.directory_slots[place] = slot
    store.codes[slot] = code
    store.rows[slot] = -1
    store.constants[slot] = np.nan
    store.versions[slot] = store.counts[VERSION]
    store.mark_rows[slot] = -1
    store.counts[BLOCKS] = slot + 1
    return slot


@inlined
def allocate_marks(store: Store, code: int) -> int:
    """Return the row of marks of a block in this scan; -1 when a pool is full."""
    slot = _allocate_block(store, code)
    if slot < 0:
        return -1
    row = np.int64(store.mark_rows[slot])
    if row < 0:
        row = store.counts[MARKED]
        if row == store.marked.size:
            return -1
        store.mark_rows[slot] = row
        store.marked[row] = slot
        store.whole[row] = 0
        store.counts[MARKED] = row + 1
    return row


@inlined
def marked_row(
    directory_codes: NDArray[np.int64],
    directory_slots: NDArray[np.int32],
    mark_rows: NDArray[np.int32],
    code: int,
) -> int:
    """Return the row of marks of a block that this scan has marks in, or -1.

    For loops over cells, which leave it to their caller to `allocate_marks`: numba counts
    references wherever a Store is handed on, and that takes longer than all the rest.
    """
    place = place_of(directory_codes, code)
    if directory_codes[place] == -1:
        return -1
    return np.int64(mark_rows[directory_slots[place]])


@kernel
def mark_hits(store: Store, cells: NDArray[np.int64], start: int) -> int:
    """Mark packed cells, from `start` on, as occupied; -1 is none. After the rays: hits win.

    Returns how many are done: fewer than there are when a pool is full.
    """
    done, missing = _mark_hits(store, cells, start)
    while missing >= 0 and allocate_marks(store, missing) >= 0:
        done, missing = _mark_hits(store, cells, done)
    return done


@kernel
def _mark_hits(store: Store, cells: NDArray[np.int64], start: int) -> tuple[int, int]:
    """Mark until one is in a block without marks in this scan; return that block's code."""
    marks, mark_rows = store.marks, store.mark_rows
    codes, slots = store.directory_codes, store.directory_slots
    corner, row = np.int64(1) << 62, np.int64(0)  # the corner of no block
    for i in range(start, cells.size):
        cell = cells[i]
        if (cell ^ corner) & ~INSIDE_BLOCK != 0:
            if cell < 0:
                continue
            row = marked_row(codes, slots, mark_rows, block_of(cell))
            if row < 0:
                return i, block_of(cell)
            corner = cell
        # Marking a cell again is faster than to find out that it is the same as the last.
        marks[row, index_in_block(cell)] = OCCUPIED
    return cells.size, -1


@inlined
def expand(store: Store, slot: int) -> int:
    """Give a block a row of values of its own and return it; -1 when there is none left."""
    row = np.int64(store.rows[slot])
    if row < 0:
        left = store.counts[FREE_ROWS]
        if left == 0:
            return -1
        row = np.int64(store.free_rows[left - 1])
        store.counts[FREE_ROWS] = left - 1
        store.rows[slot] = row
        store.values[row, :] = store.constants[slot]
    return row


@inlined
def prune_block(store: Store, slot: int) -> None:
    """Keep one number instead of 512 if all cells of a block are equal."""
    row = store.rows[slot]
    if row < 0:
        return
    bits = store.values[row].view(np.uint32)
    first = bits[0]
    if bits[CELLS - 1] != first:
        return
    different = np.uint32(0)
    for cell in range(CELLS):
        different |= bits[cell] ^ first
    if different == 0:
        store.constants[slot] = store.values[row, 0]
        store.rows[slot] = -1
        store.free_rows[store.counts[FREE_ROWS]] = row
        store.counts[FREE_ROWS] += 1


@kernel
def prune_all(store: Store) -> None:
    """Prune every block."""
    for slot in range(store.counts[BLOCKS]):
        prune_block(store, slot)


@inlined
def _updated(
    value: np.float32, change: np.float32, low: np.float32, high: np.float32
) -> np.float32:
    """Return a cell's log-odds after a hit or miss (OctoMap: updateNodeLogOdds).

    What is beyond the limits already, in a map made with others, is left alone, as OctoMap does.
    """
    new = value + change
    new = low if new < low else new
    new = high if new > high else new
    stays = (change >= np.float32(0)) & (value >= high) | (change <= np.float32(0)) & (value <= low)
    return value if stays else new


@inlined
def _free_whole_block(
    store: Store, slot: int, miss: np.float32, low: np.float32, high: np.float32
) -> None:
    if store.rows[slot] < 0:
        old = store.constants[slot]
        new = _updated(old if old == old else np.float32(0), miss, low, high)
        if new != old:
            store.constants[slot] = new
            store.versions[slot] = store.counts[VERSION]
        return
    values = store.values[store.rows[slot]]
    for cell in range(CELLS):
        old = values[cell]
        values[cell] = _updated(old if old == old else np.float32(0), miss, low, high)
    store.versions[slot] = store.counts[VERSION]


@kernel
def merge(
    store: Store, hit: np.float32, miss: np.float32, low: np.float32, high: np.float32
) -> bool:
    """Update every cell that this scan marked, once, and clear the marks.

    Returns False when it ran out of rows: to be called again when there are more.
    """
    while store.counts[MARKED] > 0:
        mark_row = store.counts[MARKED] - 1
        slot = np.int64(store.marked[mark_row])
        if store.whole[mark_row]:
            _free_whole_block(store, slot, miss, low, high)
        else:
            row = expand(store, slot)
            if row < 0:
                return False
            values = store.values[row]
            marks = store.marks[mark_row]
            different = False
            for cell in range(CELLS):
                mark = marks[cell]
                old = values[cell]
                change = hit if mark == OCCUPIED else miss
                new = _updated(old if old == old else np.float32(0), change, low, high)
                new = new if mark != 0 else old
                different |= (mark != 0) & (new != old)
                values[cell] = new
            marks[:] = 0
            if different:
                store.versions[slot] = store.counts[VERSION]
        prune_block(store, slot)
        store.mark_rows[slot] = -1
        store.counts[MARKED] = mark_row
    return True


@kernel
def lookup(store: Store, keys: NDArray[np.int64], out: Float32Array) -> None:
    """Write the log-odds of cells, (N, 3) keys; NaN for unknown ones and for keys off the map."""
    for i in range(keys.shape[0]):
        x, y, z = keys[i, 0], keys[i, 1], keys[i, 2]
        out[i] = np.nan
        if (x | y | z) >> 16 != 0:
            continue
        slot = find(store, block_code(x >> 3, y >> 3, z >> 3))
        if slot >= 0:
            row = store.rows[slot]
            cell = ((z & 7) << 6) | ((y & 7) << 3) | (x & 7)
            out[i] = store.constants[slot] if row < 0 else store.values[row, cell]


@kernel
def put_cubes(
    store: Store,
    keys: NDArray[np.uint16],
    spans: NDArray[np.int64],
    values: Float32Array,
    start: int,
) -> int:
    """Set cubes, none larger than a block, from `start` on.

    Returns how many are set: fewer than there are when a pool is full.
    """
    rows, cells, block, slot = store.rows, store.values, np.int64(-1), np.int64(-1)
    for i in range(start, keys.shape[0]):
        x, y, z = np.int64(keys[i, 0]), np.int64(keys[i, 1]), np.int64(keys[i, 2])
        code = block_code(x >> 3, y >> 3, z >> 3)
        if code != block:  # mostly the block is that of the cube before
            slot = _allocate_block(store, code)
            if slot < 0:
                return i
            store.versions[slot] = store.counts[VERSION]
            block = code
        span = spans[i]
        if span == 8:
            store.constants[slot] = values[i]
            continue
        if rows[slot] < 0 and expand(store, slot) < 0:
            return i
        row = np.int64(rows[slot])
        for dz in range(z & 7, (z & 7) + span):
            for dy in range(y & 7, (y & 7) + span):
                first = (dz << 6) | (dy << 3) | (x & 7)
                for cell in range(first, first + span):
                    cells[row, cell] = values[i]
    return keys.shape[0]


@kernel
def set_box(
    store: Store,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    value: np.float32,
    start: int,
) -> int:
    """Set the known cells with low <= key <= high in the blocks from slot `start` on.

    Returns how many blocks are done: fewer than there are when the rows are used up.
    """
    for slot in range(start, store.counts[BLOCKS]):
        x, y, z = block_corner(store.codes[slot])
        x0, x1 = max(low[0] - x, 0), min(high[0] - x, 7)
        y0, y1 = max(low[1] - y, 0), min(high[1] - y, 7)
        z0, z1 = max(low[2] - z, 0), min(high[2] - z, 7)
        if x0 > x1 or y0 > y1 or z0 > z1:
            continue
        constant = store.constants[slot]
        if store.rows[slot] < 0 and (constant != constant or constant == value):
            continue
        row = expand(store, slot)
        if row < 0:
            return slot
        values = store.values[row]
        for dz in range(z0, z1 + 1):
            for dy in range(y0, y1 + 1):
                for cell in range((dz << 6) | (dy << 3) | x0, ((dz << 6) | (dy << 3) | x1) + 1):
                    if values[cell] == values[cell]:
                        values[cell] = value
        store.versions[slot] = store.counts[VERSION]
        prune_block(store, slot)
    return np.int64(store.counts[BLOCKS])
