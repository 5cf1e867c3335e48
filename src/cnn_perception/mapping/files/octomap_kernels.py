"""Compiled walks through OctoMap's preorder streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import kernel
from cnn_perception.types import UInt8Array

__all__ = ["CHILDLESS", "COMPLETE", "TOO_DEEP", "TRUNCATED", "walk_binary", "walk_full"]

COMPLETE, TRUNCATED, TOO_DEEP, CHILDLESS = 0, 1, 2, 3


@kernel
def walk_binary(
    words: NDArray[np.uint16],
    codes: NDArray[np.int64],
    depths: UInt8Array,
    occupied: UInt8Array,
) -> tuple[int, int, int]:
    """Unfold a .bt stream: one word per inner node, two bits per child.

    Fills Morton code, depth and state of the leaves. Returns (status, words read, leaves).
    """
    word = np.zeros(17, np.int64)
    child = np.zeros(17, np.int64)
    code = np.zeros(17, np.int64)
    read, leaves, level = 1, 0, 0
    word[0] = words[0]
    while level >= 0:
        if child[level] == 8:
            level -= 1
            continue
        index = child[level]
        child[level] += 1
        state = (word[level] >> (2 * index)) & 3
        if state == 0:
            continue
        below = code[level] | (index << (3 * (15 - level)))
        if state == 3:
            if level == 15:
                return 2, read, leaves
            if read == words.size:
                return 1, read, leaves
            level += 1
            word[level] = words[read]
            if word[level] == 0:
                return 3, read, leaves
            read += 1
            child[level] = 0
            code[level] = below
        else:
            codes[leaves] = below
            depths[leaves] = level + 1
            occupied[leaves] = state == 2
            leaves += 1
    return 0, read, leaves


@kernel
def walk_full(
    values: NDArray[np.generic],
    masks: UInt8Array,
    codes: NDArray[np.int64],
    depths: UInt8Array,
    log_odds: NDArray[np.generic],
) -> tuple[int, int, int]:
    """Unfold a .ot stream: a value and a mask of children for every node.

    Fills Morton code, depth and value (log-odds, or whatever stands in `values`) of the leaves.
    Returns (status, nodes read, leaves).
    """
    mask = np.zeros(17, np.int64)
    child = np.zeros(17, np.int64)
    code = np.zeros(17, np.int64)
    if masks[0] == 0:
        codes[0], depths[0], log_odds[0] = 0, 0, values[0]
        return 0, 1, 1
    read, leaves, level = 1, 0, 0
    mask[0] = masks[0]
    while level >= 0:
        if child[level] == 8:
            level -= 1
            continue
        index = child[level]
        child[level] += 1
        if (mask[level] >> index) & 1 == 0:
            continue
        if read == masks.size:
            return 1, read, leaves
        below = code[level] | (index << (3 * (15 - level)))
        if masks[read] == 0:
            codes[leaves] = below
            depths[leaves] = level + 1
            log_odds[leaves] = values[read]
            leaves += 1
        else:
            if level == 15:
                return 2, read, leaves
            level += 1
            mask[level] = masks[read]
            child[level] = 0
            code[level] = below
        read += 1
    return 0, read, leaves
