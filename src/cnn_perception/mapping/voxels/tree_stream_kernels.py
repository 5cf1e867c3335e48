"""Compiled assembly of preorder streams: the tree above the blocks, and the blocks' parts in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import BLOCK_DEPTH
from cnn_perception.mapping.voxels.block_stream_kernels import INNER, Columns, Parts, child_bits
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "Above",
    "assemble_binary",
    "assemble_full",
    "assemble_leaves",
    "join",
    "match",
]


class Above(NamedTuple):
    """The tree above the blocks, as what comes before each block in preorder."""

    opened: UInt8Array  # by block: how many inner nodes
    depths: UInt8Array  # by block: the depth of the leaf that begins with it; 0 where none does
    words: NDArray[np.uint16]  # by inner node: two bits per child
    tops: Float32Array  # by inner node: the highest log-odds in it


@kernel
def match(old: NDArray[np.int64], new: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Say for each of the new codes where it is among the old ones, or -1. Both ascend."""
    at = 0
    for i in range(new.size):
        while at < old.size and old[at] < new[i]:
            at += 1
        out[i] = at if at < old.size and old[at] == new[i] else -1


@kernel
def join(codes: NDArray[np.int64], parts: Parts, above: Above) -> tuple[int, int]:
    """Build the tree above the blocks, joining eight leaves of equal value into one (prune).

    codes: Morton codes of the blocks, ascending. Goes from the last block to the first, so that a
    node is complete before what comes before it. Returns where the inner nodes begin in `above`,
    whose end they fill, and how many leaves of block size and above there are.
    """
    kinds, tops = parts.kinds, parts.tops
    opened, depths, words, inner_tops = above
    # Of the node that is open at each depth: children, their number, highest value, equal leaves.
    word, count = np.zeros(BLOCK_DEPTH, np.int64), np.zeros(BLOCK_DEPTH, np.int64)
    top, same = np.zeros(BLOCK_DEPTH, np.float32), np.zeros(BLOCK_DEPTH, np.bool_)
    at, leaves, last = words.size, 0, -1
    for block in range(codes.size - 1, -2, -1):
        if block >= 0:
            opened[block] = depths[block] = 0
            if kinds[block] == 0:
                continue
        elif last < 0:
            break
        level = BLOCK_DEPTH - 1
        while last >= 0 and level >= 0:
            shift = 3 * (BLOCK_DEPTH - level)
            if block >= 0 and codes[block] >> shift == codes[last] >> shift:
                break
            kind, value = INNER, top[level]
            # OctoMap never prunes its root.
            if level > 0 and count[level] == 8 and same[level]:
                kind = np.int64(kinds[last])
                for child in range(1, 8):
                    depths[last + (child << (shift - 3))] = 0
                depths[last] = level
                leaves -= 7
            else:
                at -= 1
                words[at], inner_tops[at] = word[level], value
                opened[last] += 1
            word[level] = count[level] = 0
            if level > 0:
                index = (codes[last] >> shift) & 7
                _enter(kind, value, index, level - 1, word, count, top, same)
            level -= 1
        if block >= 0:
            leaf = kinds[block] != INNER
            depths[block] = BLOCK_DEPTH if leaf else 0
            leaves += leaf
            index, kind = codes[block] & 7, np.int64(kinds[block])
            _enter(kind, tops[block], index, BLOCK_DEPTH - 1, word, count, top, same)
            last = block
    return at, leaves


@inlined
def _enter(
    kind: int,
    value: np.float32,
    index: int,
    level: int,
    word: NDArray[np.int64],
    count: NDArray[np.int64],
    top: Float32Array,
    same: NDArray[np.bool_],
) -> None:
    """Add a child before those that the open node of a level has already."""
    equal = count[level] == 0 or (same[level] and top[level] == value)
    same[level] = kind != INNER and equal
    if count[level] == 0 or value >= top[level]:
        top[level] = value
    word[level] |= kind << (2 * index)
    count[level] += 1


@kernel
def assemble_binary(
    codes: NDArray[np.int64],
    parts: Parts,
    above: Above,
    first: int,
    old: NDArray[np.uint16],
    new: NDArray[np.uint16],
    out: NDArray[np.uint16],
) -> None:
    """Write a .bt stream, and note in `parts` where the parts are in it.

    codes: as in `join`; first: where the inner nodes of `above` begin; old: the stream that was
    made last; new: the parts that were encoded since.
    """
    starts, lengths, opened, words = parts.starts, parts.lengths, above.opened, above.words
    at = 0
    for block in range(starts.size):
        for _ in range(opened[block]):
            out[at] = words[first]
            at, first = at + 1, first + 1
        source, length = starts[block], lengths[block]
        # Cell by cell: numba takes ten seconds to compile an assignment of slices.
        if source >= 0:
            for i in range(length):
                out[at + i] = old[source + i]
        else:
            for i in range(length):
                out[at + i] = new[~source + i]
        starts[block] = at
        at += length


@kernel
def assemble_full(
    codes: NDArray[np.int64],
    parts: Parts,
    above: Above,
    first: int,
    old: NDArray[np.void],
    new: NDArray[np.void],
    out: NDArray[np.void],
) -> None:
    """Write a .ot stream; as assemble_binary."""
    starts, lengths, tops = parts.starts, parts.lengths, parts.tops
    opened, depths, words, inner_tops = above
    values, children = out["value"], out["children"]
    at = 0
    for block in range(starts.size):
        for _ in range(opened[block]):
            values[at], children[at] = inner_tops[first], child_bits(words[first])
            at, first = at + 1, first + 1
        if depths[block] != 0:
            values[at], children[at] = tops[block], 0
            at += 1
        source, length = starts[block], lengths[block]
        if source >= 0:
            for i in range(length):
                out[at + i] = old[source + i]
        else:
            for i in range(length):
                out[at + i] = new[~source + i]
        starts[block] = at
        at += length


@kernel
def assemble_leaves(
    codes: NDArray[np.int64],
    parts: Parts,
    above: Above,
    first: int,
    old: Columns,
    new: Columns,
    out: Columns,
) -> None:
    """Write leaves; as assemble_binary."""
    starts, lengths, tops, depths = parts.starts, parts.lengths, parts.tops, above.depths
    at = 0
    for block in range(starts.size):
        if depths[block] != 0:
            for axis in range(3):
                out.keys[at, axis] = _gathered(codes[block] >> axis) << (16 - BLOCK_DEPTH)
            out.depths[at], out.log_odds[at] = depths[block], tops[block]
            at += 1
        source, length = starts[block], lengths[block]
        if source >= 0:
            _copy_columns(old, source, out, at, length)
        else:
            _copy_columns(new, ~source, out, at, length)
        starts[block] = at
        at += length


@inlined
def _copy_columns(source: Columns, start: int, out: Columns, at: int, length: int) -> None:
    for i in range(length):
        for axis in range(3):
            out.keys[at + i, axis] = source.keys[start + i, axis]
        out.depths[at + i] = source.depths[start + i]
        out.log_odds[at + i] = source.log_odds[start + i]


@inlined
def _gathered(code: int) -> int:
    """Return every third bit of a 39-bit code."""
    key = 0
    for bit in range(BLOCK_DEPTH):
        key |= ((code >> (3 * bit)) & 1) << bit
    return key
