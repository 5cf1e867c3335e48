"""The known cells of an octree as arrays: the form in which maps are exchanged inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH, morton_codes, visible
from cnn_perception.types import BoolArray, Cells, Float32Array

__all__ = [
    "Leaves",
    "expand",
    "find_leaves",
    "join_siblings",
    "joined",
    "sort_leaves",
]


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

    def between(self, resolution: float, lowest: float, highest: float) -> Leaves:
        """Return the leaves that reach above the lowest z and below the highest, metres."""
        seen = visible(self.keys[:, 2], self.spans, resolution, lowest, highest)
        return self if seen.all() else self.select(seen)

    def cells(self, resolution: float) -> Cells:
        """Return the leaves as cubes in metres."""
        spans = self.spans
        centers = (self.keys - float(KEY_ORIGIN) + 0.5 * spans[:, None]) * resolution
        return Cells(centers.astype(np.float32), (spans * resolution).astype(np.float32))

    def split(self, depth: int = TREE_DEPTH) -> Leaves:
        """Return the same cells in the size of `depth` where they are larger, not in preorder."""
        large = self.depths < depth
        parts = [self.select(~large)] if large.any() else [self]
        for level in np.unique(self.depths[large]).tolist():
            cubes = self.select(self.depths == level)
            offsets = np.indices((1 << (depth - level),) * 3).reshape(3, -1).T
            keys = cubes.keys[:, None, :].astype(np.int64) + (offsets << (TREE_DEPTH - depth))
            values = np.repeat(cubes.log_odds, len(offsets))
            depths = np.full(len(values), depth, np.uint8)
            parts.append(Leaves(keys.reshape(-1, 3).astype(np.uint16), depths, values))
        return joined(parts)

    def finest(self) -> Leaves:
        """Return the same occupancy with every cube split into finest cells."""
        return sort_leaves(self.split())


def joined(parts: Sequence[Leaves]) -> Leaves:
    """Return the leaves of several parts, not in preorder."""
    return Leaves(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.depths for part in parts]),
        np.concatenate([part.log_odds for part in parts]),
    )


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


def expand(leaves: Leaves, chosen: BoolArray) -> Leaves:
    """Replace the chosen cubes by their eight children."""
    cubes = leaves.select(chosen)
    steps = (cubes.spans // 2)[:, None, None] * np.indices((2, 2, 2)).reshape(3, -1).T
    keys = (cubes.keys[:, None, :] + steps).reshape(-1, 3).astype(np.uint16)
    children = Leaves(keys, np.repeat(cubes.depths + 1, 8), np.repeat(cubes.log_odds, 8))
    return sort_leaves(joined([leaves.select(~chosen), children]))
