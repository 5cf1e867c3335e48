"""A map in the colors of its classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cnn_perception.image.draw import palette as distinct_colors
from cnn_perception.mapping.files.color_codec import NO_COLOR, ColoredLeaves
from cnn_perception.mapping.keys import TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves, expand, find_leaves, joined, sort_leaves
from cnn_perception.mapping.semantic.semantics import LabelledCells
from cnn_perception.types import BoolArray, UInt8Array

__all__ = ["class_colors", "color_leaves"]


def class_colors(labels: Mapping[int, str], palette: UInt8Array | None = None) -> UInt8Array:
    """Return the color of each class id up to the highest with a label, uint8 (n, 3) RGB.

    palette: uint8 (K, 3), where a model has one; ids beyond it begin anew. Without, they are the
    colors that the segmenter gives to the classes of such a model.
    """
    count = max(labels, default=0) + 1
    if palette is None or len(palette) == 0:
        return distinct_colors(count, background=True)
    return np.asarray(palette[np.arange(count) % len(palette)], np.uint8)


def color_leaves(leaves: Leaves, labelled: LabelledCells, colors: UInt8Array) -> ColoredLeaves:
    """Give the cells of a map the colors of their classes; all others are white.

    labelled: finest cells; colors: uint8 (n, 3) by class id. Cubes in which classes differ are
    split into smaller ones.
    """
    mixed = _coarse(leaves, labelled.keys)
    if mixed.any():
        whole, parts = leaves.select(~mixed), leaves.select(mixed)
        while (cut := _coarse(parts, labelled.keys)).any():
            parts = expand(parts, cut)
        leaves = sort_leaves(joined([whole, parts]))
    shades = np.full((len(leaves), 3), NO_COLOR, np.uint8)
    found = find_leaves(leaves, labelled.keys)
    known = found >= 0
    shades[found[known]] = colors[labelled.class_ids[known]]
    return ColoredLeaves(leaves, shades).pruned()


def _coarse(leaves: Leaves, keys: NDArray[np.uint16]) -> BoolArray:
    """Return which leaves are larger than the cells of these keys that they hold."""
    found = find_leaves(leaves, keys)
    holds = np.zeros(len(leaves), np.bool_)
    holds[found[found >= 0]] = True
    return holds & (leaves.depths < TREE_DEPTH)
