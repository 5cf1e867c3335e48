"""OctoMap's streams written from leaves, level by level: the oracle of the exports of a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.files.octomap_codec import NODE, child_states, wrap
from cnn_perception.mapping.keys import TREE_DEPTH, morton_codes
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.types import Float32Array, IntArray
from pruned_leaves import prune

_FREE, _OCCUPIED, _INNER = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class _InnerNodes:
    """The inner nodes of a tree: 48-bit code, depth, two bits per child, highest log-odds."""

    codes: NDArray[np.int64]
    depths: NDArray[np.int64]
    words: NDArray[np.uint16]
    values: Float32Array


def encode_binary(leaves: Leaves) -> bytes:
    """Return the .bt data section: occupied or free, equal siblings joined."""
    return _encode_binary(_binarised(leaves))


def encode_full(leaves: Leaves) -> bytes:
    """Return the .ot data section: equal siblings joined, inner nodes hold their maximum."""
    return _encode_full(prune(leaves))


def encode_file(leaves: Leaves, resolution: float, binary: bool) -> bytes:
    """Return the content of a .bt (binary) or .ot file."""
    return wrap(encode_binary(leaves) if binary else encode_full(leaves), resolution, binary)


def _binarised(leaves: Leaves) -> Leaves:
    values = np.where(leaves.occupied, np.float32(1), np.float32(-1))
    return prune(Leaves(leaves.keys, leaves.depths, values))


def _inner_nodes(leaves: Leaves) -> _InnerNodes:
    """Build the inner nodes above the leaves, deepest level first."""
    leaf_codes = morton_codes(leaves.keys)
    leaf_states = np.where(leaves.occupied, _OCCUPIED, _FREE).astype(np.uint16)
    codes, words = np.zeros(0, np.int64), np.zeros(0, np.uint16)
    values = np.zeros(0, np.float32)
    levels = []
    for depth in range(TREE_DEPTH - 1, -1, -1):
        at = leaves.depths == depth + 1
        codes = np.concatenate([leaf_codes[at], codes])
        if codes.size == 0:
            continue
        states = np.concatenate([leaf_states[at], np.full(words.size, _INNER, np.uint16)])
        values = np.concatenate([leaves.log_odds[at], values])
        order = np.argsort(codes, kind="stable")
        shift = 3 * (TREE_DEPTH - 1 - depth)
        index = (codes[order] >> shift) & 7
        parents = codes[order] >> (shift + 3)
        first = np.flatnonzero(np.concatenate([[True], parents[1:] != parents[:-1]]))
        bits = states[order] << (2 * index).astype(np.uint16)
        words = np.bitwise_or.reduceat(bits, first).astype(np.uint16)
        values = np.maximum.reduceat(values[order], first)
        codes = parents[first] << (shift + 3)
        levels.append((codes, np.full(codes.size, depth), words, values))
    if not levels:
        return _InnerNodes(codes, np.zeros(0, np.int64), words, values)
    columns = [np.concatenate(column) for column in zip(*levels, strict=True)]
    return _InnerNodes(columns[0], columns[1], columns[2], columns[3])


def _preorder(codes: NDArray[np.int64], depths: IntArray) -> IntArray:
    return np.argsort((codes << 5) | depths.astype(np.int64))


def _encode_binary(leaves: Leaves) -> bytes:
    inner = _inner_nodes(leaves)
    order = _preorder(inner.codes, inner.depths)
    return inner.words[order].astype("<u2").tobytes()


def _encode_full(leaves: Leaves) -> bytes:
    inner = _inner_nodes(leaves)
    nodes = np.zeros(len(inner.codes) + len(leaves), NODE)
    nodes["value"] = np.concatenate([inner.values, leaves.log_odds])
    nodes["children"][: len(inner.codes)] = np.packbits(
        child_states(inner.words) != 0, axis=1, bitorder="little"
    )[:, 0]
    codes = np.concatenate([inner.codes, morton_codes(leaves.keys)])
    depths = np.concatenate([inner.depths, leaves.depths.astype(np.int64)])
    return nodes[_preorder(codes, depths)].tobytes()
