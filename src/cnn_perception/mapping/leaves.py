"""The known cells of an octree as arrays: the form in which maps are exchanged inside the package.

Keys and depths are OctoMap's (Hornung et al. 2013): the tree has 16 levels, a finest cell has three
16-bit keys, 32768 being the cell whose lower corner is the origin of the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import MapError
from cnn_perception.types import BoolArray, Cells, Float32Array

__all__ = [
    "KEY_ORIGIN",
    "TREE_DEPTH",
    "Leaves",
    "cell_keys",
    "fill_box",
    "find_leaves",
    "join_siblings",
    "keep_box",
    "morton_codes",
    "morton_keys",
    "prune",
    "sort_leaves",
    "split",
]

TREE_DEPTH = 16
KEY_ORIGIN = 1 << (TREE_DEPTH - 1)

_SPREAD = ((16, 0x0000FF0000FF), (8, 0x00F00F00F00F), (4, 0x0C30C30C30C3), (2, 0x249249249249))
_GATHER = ((2, 0x0C30C30C30C3), (4, 0x00F00F00F00F), (8, 0x0000FF0000FF), (16, 0x00000000FFFF))


def cell_keys(points: NDArray[np.floating[Any]], resolution: float) -> NDArray[np.int64]:
    """Return the keys of the finest cells in which points are, int64 (..., 3).

    points: (..., 3) metres in the map frame; those off the map get keys that are one off it. By
    the reciprocal, as OctoMap's coordToKey, which decides on which side a border is.
    """
    with np.errstate(over="ignore"):
        keys = np.floor((1.0 / resolution) * points.astype(np.float64)) + KEY_ORIGIN
    return np.clip(keys, -1, 2 * KEY_ORIGIN).astype(np.int64)


def morton_codes(keys: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Interleave (N, 3) keys into 48-bit codes, x in the lowest bit; sorted codes are preorder."""
    code = np.zeros(len(keys), np.int64)
    for axis in range(3):
        bits = keys[:, axis].astype(np.int64)
        for shift, mask in _SPREAD:
            bits = (bits | (bits << shift)) & mask
        code |= bits << axis
    return code


def morton_keys(codes: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return the (N, 3) keys of 48-bit codes: the inverse of `morton_codes`."""
    keys = np.empty((len(codes), 3), np.uint16)
    for axis in range(3):
        bits = (codes >> axis) & _SPREAD[-1][1]
        for shift, mask in _GATHER:
            bits = (bits | (bits >> shift)) & mask
        keys[:, axis] = bits
    return keys


@dataclass(frozen=True, slots=True, eq=False)
class Leaves:
    """Disjoint cubes of known occupancy, in preorder (sorted by Morton code).

    keys: uint16 (N, 3), the lowest key inside each cube; depths: uint8 (N,), 16 for the finest
    cells, one less for each doubling of the edge; log_odds: float32 (N,), occupied where >= 0.
    """

    keys: NDArray[np.uint16]
    depths: NDArray[np.uint8]
    log_odds: Float32Array

    def __post_init__(self) -> None:
        count = len(self.log_odds)
        for name, shape in (("keys", (count, 3)), ("depths", (count,)), ("log_odds", (count,))):
            if getattr(self, name).shape != shape:
                raise MapError(
                    f"Leaves.{name} has shape {getattr(self, name).shape}: expected {shape}"
                )

    def __len__(self) -> int:
        return len(self.log_odds)

    @classmethod
    def empty(cls) -> Leaves:
        """Nothing is known."""
        return cls(np.zeros((0, 3), np.uint16), np.zeros(0, np.uint8), np.zeros(0, np.float32))

    @property
    def occupied(self) -> BoolArray:
        """True where a leaf is occupied, bool (N,)."""
        return self.log_odds >= 0

    @property
    def spans(self) -> NDArray[np.int64]:
        """Edge length of each leaf in finest cells, int64 (N,)."""
        spans: NDArray[np.int64] = 1 << (TREE_DEPTH - self.depths.astype(np.int64))
        return spans

    def select(self, chosen: BoolArray) -> Leaves:
        """Return the chosen leaves only."""
        return Leaves(self.keys[chosen], self.depths[chosen], self.log_odds[chosen])

    def cells(self, resolution: float) -> Cells:
        """Return the leaves as cubes in metres."""
        spans = self.spans
        centers = (self.keys - float(KEY_ORIGIN) + 0.5 * spans[:, None]) * resolution
        return Cells(centers.astype(np.float32), (spans * resolution).astype(np.float32))

    def finest(self) -> Leaves:
        """Return the same occupancy with every cube split into finest cells."""
        keys, values = [], []
        for depth in np.unique(self.depths):
            chosen = self.depths == depth
            corner = self.keys[chosen].astype(np.int64)
            span = 1 << (TREE_DEPTH - int(depth))
            offsets = np.indices((span, span, span)).reshape(3, -1).T
            keys.append((corner[:, None, :] + offsets).reshape(-1, 3).astype(np.uint16))
            values.append(np.repeat(self.log_odds[chosen], span**3))
        if not keys:
            return Leaves.empty()
        joined = np.concatenate(keys)
        depths = np.full(len(joined), TREE_DEPTH, np.uint8)
        return sort_leaves(Leaves(joined, depths, np.concatenate(values)))


def sort_leaves(leaves: Leaves) -> Leaves:
    """Return the leaves in preorder."""
    order = np.argsort(morton_codes(leaves.keys), kind="stable")
    return Leaves(leaves.keys[order], leaves.depths[order], leaves.log_odds[order])


def find_leaves(leaves: Leaves, keys: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return which leaf holds each finest cell, int64 (M,), -1 where none does; keys: (M, 3)."""
    if len(leaves) == 0:
        return np.full(len(keys), -1, np.int64)
    first, codes = morton_codes(leaves.keys), morton_codes(keys)
    found = np.searchsorted(first, codes, "right") - 1
    volume = np.int64(1) << (3 * (TREE_DEPTH - leaves.depths[found].astype(np.int64)))
    return np.where((found >= 0) & (codes - first[found] < volume), found, -1)


def prune(leaves: Leaves) -> Leaves:
    """Join eight equal siblings into their parent, level by level, as OctoMap's prune() does."""
    kept, depths = join_siblings(leaves, leaves.log_odds)
    return Leaves(leaves.keys[kept], depths[kept], leaves.log_odds[kept])


def join_siblings(
    leaves: Leaves, content: NDArray[np.generic]
) -> tuple[BoolArray, NDArray[np.uint8]]:
    """Find the leaves that stay when eight siblings of equal content become one, and their depths.

    content: (N,), anything that can be compared. Returns bool (N,) and uint8 (N,).
    """
    codes = morton_codes(leaves.keys)
    depths = leaves.depths.copy()
    kept = np.ones(len(leaves), np.bool_)
    for depth in range(TREE_DEPTH, 1, -1):
        at = np.flatnonzero(kept & (depths == depth))
        if at.size < 8:
            continue
        level = codes[at] >> (3 * (TREE_DEPTH - depth))
        first = np.flatnonzero((level[:-7] & 7 == 0) & (level[7:] - level[:-7] == 7))
        family = content[at[first[:, None] + np.arange(8)]]
        first = first[(family == family[:, :1]).all(axis=1)]
        depths[at[first]] = depth - 1
        kept[at[first[:, None] + np.arange(1, 8)]] = False
    return kept, depths


def fill_box(
    leaves: Leaves, low: NDArray[np.int64], high: NDArray[np.int64], log_odds: float
) -> Leaves:
    """Set the known cells with low <= key <= high to a value; NaN makes them unknown.

    low, high: int64 (3,) keys of finest cells. Larger cubes are split where the box ends in them.
    """
    leaves, inside = _cut_at(leaves, low, high)
    if math.isnan(log_odds):
        return leaves.select(~inside)
    values = np.where(inside, np.float32(log_odds), leaves.log_odds).astype(np.float32)
    return prune(Leaves(leaves.keys, leaves.depths, values))


def keep_box(leaves: Leaves, low: NDArray[np.int64], high: NDArray[np.int64]) -> Leaves:
    """Return what lies in the box low <= key <= high, int64 (3,) keys of finest cells."""
    leaves, inside = _cut_at(leaves, low, high)
    return leaves.select(inside)


def _cut_at(
    leaves: Leaves, low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[Leaves, BoolArray]:
    """Split the cubes in which the box ends; return also which leaves lie in the box."""
    while True:
        first = leaves.keys.astype(np.int64)
        last = first + leaves.spans[:, None] - 1
        meets = _every_axis((first <= high) & (last >= low))
        inside = _every_axis((first >= low) & (last <= high))
        cut = meets & ~inside
        if not cut.any():
            return leaves, inside
        leaves = split(leaves, cut)


def _every_axis(flags: BoolArray) -> BoolArray:
    return np.asarray(flags.all(axis=1), np.bool_)


def split(leaves: Leaves, chosen: BoolArray) -> Leaves:
    """Replace the chosen cubes by their eight children."""
    corners = np.stack([np.arange(8) >> axis & 1 for axis in range(3)], axis=1)
    halves = leaves.spans[chosen] // 2
    keys = leaves.keys[chosen][:, None, :] + halves[:, None, None] * corners
    whole = leaves.select(~chosen)
    return sort_leaves(
        Leaves(
            np.concatenate([whole.keys, keys.reshape(-1, 3).astype(np.uint16)]),
            np.concatenate([whole.depths, np.repeat(leaves.depths[chosen] + 1, 8)]).astype(
                np.uint8
            ),
            np.concatenate([whole.log_odds, np.repeat(leaves.log_odds[chosen], 8)]),
        )
    )
