"""OctoMap's ColorOcTree: a color beside the log-odds of every node, in .ot streams and messages.

Format: OctoMap 1.10, ColorOcTreeNode::writeData (float32 log-odds, then red, green, blue) and
OcTreeBaseImpl::writeNodesRecurs (then a byte with a bit for each child). White means that a node
has no color. Inner nodes hold the highest log-odds of their children and the mean of the colors
that these have. The library joins siblings of equal log-odds whatever their colors; here they must
agree in both, as a mean of two classes' colors would be that of neither.

A .bt stream holds no colors: that of a ColorOcTree is an OcTree's but for the id in its header.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import MapError
from cnn_perception.mapping.files import octomap_codec as codec
from cnn_perception.mapping.files import octomap_kernels as kernels
from cnn_perception.mapping.keys import TREE_DEPTH, morton_codes, morton_keys
from cnn_perception.mapping.leaves import Leaves, join_siblings
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "COLOR_TREE",
    "NO_COLOR",
    "ColoredLeaves",
    "decode_color",
    "decode_color_file",
    "encode_color",
]

COLOR_TREE = "ColorOcTree"
"""The tree's type in file headers and in octomap_msgs/Octomap.id."""
NO_COLOR = (255, 255, 255)
_NODE = np.dtype([("value", "<f4"), ("color", "u1", 3), ("children", "u1")])


@dataclass(frozen=True, slots=True, eq=False)
class ColoredLeaves:
    """Leaves and their colors, uint8 (N, 3) RGB, white where there is none."""

    leaves: Leaves
    colors: UInt8Array

    def __post_init__(self) -> None:
        if self.colors.shape != (len(self.leaves), 3):
            raise MapError(
                f"ColoredLeaves.colors has shape {self.colors.shape}: expected "
                f"{(len(self.leaves), 3)}"
            )

    def pruned(self) -> ColoredLeaves:
        """Join eight siblings that are equal in log-odds and color, level by level."""
        red, green, blue = self.colors.astype(np.int64).T
        # Adding zero makes one of the two zeros of floating point.
        bits = (self.leaves.log_odds + np.float32(0)).view(np.int32).astype(np.int64)
        content = (bits << 24) | (red << 16) | (green << 8) | blue
        kept, depths = join_siblings(self.leaves, content)
        old = self.leaves
        return ColoredLeaves(
            Leaves(old.keys[kept], depths[kept], old.log_odds[kept]), self.colors[kept]
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The nodes of one depth, by code: log-odds, color, and which children they have."""

    codes: NDArray[np.int64]
    values: Float32Array
    colors: UInt8Array
    children: UInt8Array

    def joined(self, other: _Level) -> _Level:
        codes = np.concatenate([self.codes, other.codes])
        order = np.argsort(codes, kind="stable")
        return _Level(
            codes[order],
            np.concatenate([self.values, other.values])[order],
            np.concatenate([self.colors, other.colors])[order],
            np.concatenate([self.children, other.children])[order],
        )


def encode_color(tree: ColoredLeaves) -> bytes:
    """Return the .ot data section of a ColorOcTree, as octomap_msgs/Octomap carries it (full)."""
    tree = tree.pruned()
    codes = morton_codes(tree.leaves.keys)
    level = _leaf_level(tree, codes, TREE_DEPTH)
    levels = [(level, TREE_DEPTH)]
    for depth in range(TREE_DEPTH - 1, -1, -1):
        level = _parents(level, depth).joined(_leaf_level(tree, codes, depth))
        levels.append((level, depth))
    nodes = np.empty(sum(len(level.codes) for level, _ in levels), _NODE)
    for name in ("value", "color", "children"):
        columns = [
            getattr(level, name if name == "children" else f"{name}s") for level, _ in levels
        ]
        nodes[name] = np.concatenate(columns)
    rank = np.concatenate([(level.codes << 5) | depth for level, depth in levels])
    return nodes[np.argsort(rank)].tobytes()


def decode_color(data: bytes) -> ColoredLeaves:
    """Read a .ot data section of a ColorOcTree. Raises MapError."""
    if not data:
        return ColoredLeaves(Leaves.empty(), np.zeros((0, 3), np.uint8))
    if len(data) % _NODE.itemsize:
        raise MapError(f"color map data have {len(data)} bytes: expected eight for each node")
    nodes = np.frombuffer(data, _NODE)
    masks = np.ascontiguousarray(nodes["children"])
    count = int(np.count_nonzero(masks == 0))
    codes, depths = np.empty(count, np.int64), np.empty(count, np.uint8)
    places = np.empty(count, np.int64)
    status = kernels.walk_full(np.arange(len(nodes)), masks, codes, depths, places)
    codec.check_walk(status[0], status[1], len(nodes), _NODE.itemsize)
    values = nodes["value"][places].astype(np.float32)
    if not np.isfinite(values).all():
        raise MapError("color map data hold log-odds that are not finite: the stream is damaged")
    return ColoredLeaves(Leaves(morton_keys(codes), depths, values), nodes["color"][places])


def decode_color_file(content: bytes) -> tuple[ColoredLeaves, float]:
    """Read the content of a .ot file with a ColorOcTree; returns its resolution too, metres.

    Raises MapError.
    """
    resolution, size, data = codec.split_file(content, COLOR_TREE, binary=False)
    tree = decode_color(data)
    nodes = len(data) // _NODE.itemsize
    if nodes != size:
        raise MapError(f"the map file's header says size {size} but its data hold {nodes} nodes")
    return tree, resolution


def _leaf_level(tree: ColoredLeaves, codes: NDArray[np.int64], depth: int) -> _Level:
    at = tree.leaves.depths == depth
    values, colors = tree.leaves.log_odds[at], tree.colors[at]
    return _Level(codes[at], values, colors, np.zeros(len(values), np.uint8))


def _parents(level: _Level, depth: int) -> _Level:
    """Return the inner nodes of a depth, which the nodes below it need."""
    if len(level.codes) == 0:
        return level
    shift = 3 * (TREE_DEPTH - 1 - depth)
    parents = level.codes >> (shift + 3)
    first = np.flatnonzero(np.concatenate([[True], parents[1:] != parents[:-1]]))
    bits = np.left_shift(1, (level.codes >> shift) & 7).astype(np.uint8)
    colored = (level.colors != NO_COLOR).any(axis=1)
    sums = np.add.reduceat(level.colors * colored[:, None].astype(np.int64), first)
    counts = np.add.reduceat(colored.astype(np.int64), first)[:, None]
    means = np.where(counts > 0, sums // np.maximum(counts, 1), NO_COLOR)
    return _Level(
        parents[first] << (shift + 3),
        np.maximum.reduceat(level.values, first),
        means.astype(np.uint8),
        np.bitwise_or.reduceat(bits, first),
    )
