"""Leaves as the exports of a map have them: pruned, and in a file of colors."""

from __future__ import annotations

from cnn_perception.mapping.files.color_codec import COLOR_TREE, ColoredLeaves, encode_color
from cnn_perception.mapping.files.octomap_codec import file_header
from cnn_perception.mapping.leaves import Leaves, join_siblings

__all__ = ["encode_color_file", "prune"]


def prune(leaves: Leaves) -> Leaves:
    """Join eight equal siblings into their parent, level by level, as OctoMap's prune() does."""
    kept, depths = join_siblings(leaves, leaves.log_odds)
    return Leaves(leaves.keys[kept], depths[kept], leaves.log_odds[kept])


def encode_color_file(tree: ColoredLeaves, resolution: float) -> bytes:
    """Return the content of a .ot file with a ColorOcTree."""
    data = encode_color(tree)
    nodes = len(data) // 8
    return file_header(COLOR_TREE, nodes, resolution, binary=False) + data
