"""Compiled walks through the blocks of a VoxelStore: each block's part of a preorder stream.

A part does not depend on the blocks around, so it can be kept until the block changes. A block that
is one leaf, or unknown, has an empty part: `tree_stream_kernels` joins it with its siblings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import CELLS
from cnn_perception.mapping.voxels.cell_kernels import block_corner
from cnn_perception.mapping.voxels.voxel_kernels import Store
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "INNER",
    "MOST_INNER",
    "MOST_NODES",
    "Columns",
    "Parts",
    "child_bits",
    "encode_binary",
    "encode_full",
    "encode_leaves",
]

# What a node is, as a .bt stream says it in two bits; 0 is unknown.
_FREE, _OCCUPIED, INNER = 1, 2, 3
# The most nodes that one block has, without and with its cells.
MOST_INNER = 1 + 8 + 64
MOST_NODES = MOST_INNER + CELLS
# Where the levels of a block are in the arrays of its nodes: cells, 4 x 4 x 4, 2 x 2 x 2, block.
_DEPTH_15 = CELLS
_DEPTH_14 = _DEPTH_15 + 64
_DEPTH_13 = _DEPTH_14 + 8


class Parts(NamedTuple):
    """The parts of a stream, by block in preorder."""

    starts: NDArray[np.int64]  # in the stream made last, or ~start in what was encoded since
    lengths: NDArray[np.int64]  # 0 for blocks that are one leaf
    kinds: UInt8Array
    tops: Float32Array  # log-odds of a leaf, the highest one in an inner node


class Columns(NamedTuple):
    """The columns of Leaves."""

    keys: NDArray[np.uint16]
    depths: UInt8Array
    log_odds: Float32Array


@inlined
def _raise_level(
    first: int,
    side: int,
    start: int,
    kinds: UInt8Array,
    tops: Float32Array,
    words: NDArray[np.uint16],
) -> None:
    """Make the nodes at `start` that hold 2 x 2 x 2 each of the side**3 nodes at `first`."""
    half = side >> 1
    for z in range(half):
        for y in range(half):
            for x in range(half):
                corner = first + 2 * ((z * side + y) * side + x)
                value, top = tops[corner], np.float32(-np.inf)
                word, same = 0, True
                for child in range(8):
                    at = corner + (child & 1) + ((child >> 1) & 1) * side
                    at += (child >> 2) * side * side
                    kind = np.int64(kinds[at])
                    word |= kind << (2 * child)
                    top = tops[at] if tops[at] > top else top
                    same &= (kind != INNER) & (tops[at] == value)
                node = start + (z * half + y) * half + x
                words[node] = word
                tops[node] = value if same else top
                kinds[node] = kinds[corner] if same else (0 if word == 0 else INNER)


@inlined
def _raise_block(
    constant: np.float32,
    row: int,
    values: Float32Array,
    binary: bool,
    kinds: UInt8Array,
    tops: Float32Array,
    words: NDArray[np.uint16],
) -> None:
    """Make the nodes of a block; with `binary`, only whether cells are occupied matters."""
    first = _DEPTH_13 if row < 0 else 0
    for cell in range(first, first + 1 if row < 0 else CELLS):
        value = constant if row < 0 else values[row, cell]
        kind = _OCCUPIED if value >= np.float32(0) else _FREE
        unknown = value != value
        kinds[cell] = 0 if unknown else kind
        tops[cell] = np.float32(2 * kind - 3) if binary and not unknown else value
    if row >= 0:
        _raise_level(0, 8, _DEPTH_15, kinds, tops, words)
        _raise_level(_DEPTH_15, 4, _DEPTH_14, kinds, tops, words)
        _raise_level(_DEPTH_14, 2, _DEPTH_13, kinds, tops, words)


@inlined
def _child(octant: int, child: int) -> int:
    """Return the node of depth 15 that is a child of an octant, itself a child of the block."""
    x = ((octant & 1) << 1) | (child & 1)
    y = (octant & 2) | ((child >> 1) & 1)
    z = ((octant >> 1) & 2) | (child >> 2)
    return _DEPTH_15 + ((z << 4) | (y << 2) | x)


@inlined
def _cell(node: int, child: int) -> int:
    """Return the cell that is a child of a node of depth 15."""
    node -= _DEPTH_15
    x = ((node & 3) << 1) | (child & 1)
    y = (((node >> 2) & 3) << 1) | ((child >> 1) & 1)
    z = ((node >> 4) << 1) | (child >> 2)
    return (z << 6) | (y << 3) | x


@kernel
def encode_binary(
    store: Store,
    slots: NDArray[np.int64],
    blocks: NDArray[np.int64],
    parts: Parts,
    base: int,
    out: NDArray[np.uint16],
) -> int:
    """Write the .bt parts of blocks one after the other: a word per inner node.

    blocks: their places in `parts`, which are told that `out` begins at ~base. Returns how much of
    `out` is used.
    """
    rows, constants, values = store.rows, store.constants, store.values
    starts, lengths, part_kinds, part_tops = parts
    kinds, tops = np.empty(_DEPTH_13 + 1, np.uint8), np.empty(_DEPTH_13 + 1, np.float32)
    words = np.empty(_DEPTH_13 + 1, np.uint16)
    at = 0
    for i in range(slots.size):
        slot, block, start = slots[i], blocks[i], at
        _raise_block(constants[slot], rows[slot], values, True, kinds, tops, words)
        part_kinds[block], part_tops[block] = kinds[_DEPTH_13], tops[_DEPTH_13]
        if kinds[_DEPTH_13] == INNER:
            out[at] = words[_DEPTH_13]
            at += 1
            for octant in range(8):
                if kinds[_DEPTH_14 + octant] != INNER:
                    continue
                out[at] = words[_DEPTH_14 + octant]
                at += 1
                for child in range(8):
                    node = _child(octant, child)
                    out[at] = words[node]
                    at += kinds[node] == INNER
        starts[block], lengths[block] = ~(base + start), at - start
    return at


@inlined
def child_bits(word: int) -> int:
    """Return the byte of a .ot node: a bit per child, from two bits per child."""
    known = (word | (word >> 1)) & 0x5555
    known = (known | (known >> 1)) & 0x3333
    known = (known | (known >> 2)) & 0x0F0F
    return (known | (known >> 4)) & 0xFF


@kernel
def encode_full(
    store: Store,
    slots: NDArray[np.int64],
    blocks: NDArray[np.int64],
    parts: Parts,
    base: int,
    out: NDArray[np.void],
) -> int:
    """Write the .ot parts of blocks: a record of value and children per node; as encode_binary."""
    rows, constants, values = store.rows, store.constants, store.values
    starts, lengths, part_kinds, part_tops = parts
    kinds, tops = np.empty(_DEPTH_13 + 1, np.uint8), np.empty(_DEPTH_13 + 1, np.float32)
    words = np.empty(_DEPTH_13 + 1, np.uint16)
    out_values, out_children = out["value"], out["children"]
    at = 0
    for i in range(slots.size):
        slot, block, start = slots[i], blocks[i], at
        _raise_block(constants[slot], rows[slot], values, False, kinds, tops, words)
        part_kinds[block], part_tops[block] = kinds[_DEPTH_13], tops[_DEPTH_13]
        if kinds[_DEPTH_13] == INNER:
            out_values[at], out_children[at] = tops[_DEPTH_13], child_bits(words[_DEPTH_13])
            at += 1
            for octant in range(_DEPTH_14, _DEPTH_14 + 8):
                inner = kinds[octant] == INNER
                out_values[at] = tops[octant]
                out_children[at] = child_bits(words[octant]) if inner else 0
                at += kinds[octant] != 0
                for child in range(8 if inner else 0):
                    node = _child(octant - _DEPTH_14, child)
                    below = kinds[node] == INNER
                    out_values[at] = tops[node]
                    out_children[at] = child_bits(words[node]) if below else 0
                    at += kinds[node] != 0
                    for finest in range(8 if below else 0):
                        cell = _cell(node, finest)
                        out_values[at], out_children[at] = tops[cell], 0
                        at += kinds[cell] != 0
        starts[block], lengths[block] = ~(base + start), at - start
    return at


@kernel
def encode_leaves(
    store: Store,
    slots: NDArray[np.int64],
    blocks: NDArray[np.int64],
    parts: Parts,
    base: int,
    out: Columns,
) -> int:
    """Write the leaves of blocks: lowest key, depth and value; as encode_binary."""
    keys, depths, log_odds = out
    rows, constants, values = store.rows, store.constants, store.values
    starts, lengths, part_kinds, part_tops = parts
    kinds, tops = np.empty(_DEPTH_13 + 1, np.uint8), np.empty(_DEPTH_13 + 1, np.float32)
    words = np.empty(_DEPTH_13 + 1, np.uint16)
    at = 0
    for i in range(slots.size):
        slot, block, start = slots[i], blocks[i], at
        _raise_block(constants[slot], rows[slot], values, False, kinds, tops, words)
        part_kinds[block], part_tops[block] = kinds[_DEPTH_13], tops[_DEPTH_13]
        x, y, z = block_corner(store.codes[slot])
        for octant in range(8 if kinds[_DEPTH_13] == INNER else 0):
            kind = kinds[_DEPTH_14 + octant]
            if kind != INNER:
                keys[at, 0] = x + ((octant & 1) << 2)
                keys[at, 1] = y + ((octant & 2) << 1)
                keys[at, 2] = z + (octant & 4)
                depths[at], log_odds[at] = 14, tops[_DEPTH_14 + octant]
                at += kind != 0
                continue
            for child in range(8):
                node = _child(octant, child)
                for finest in range(8 if kinds[node] == INNER else 1):
                    cell = _cell(node, finest)
                    one = node if kinds[node] != INNER else cell
                    keys[at, 0] = x + (cell & 7)
                    keys[at, 1] = y + ((cell >> 3) & 7)
                    keys[at, 2] = z + (cell >> 6)
                    depths[at], log_odds[at] = (16 if one == cell else 15), tops[one]
                    at += kinds[one] != 0
        starts[block], lengths[block] = ~(base + start), at - start
    return at
