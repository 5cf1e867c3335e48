"""How much of two occupancy maps differs, without taking them apart into finest cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.keys import TREE_DEPTH, morton_codes
from cnn_perception.mapping.leaves import Leaves

__all__ = ["MapDifference", "compare_maps"]

_UNKNOWN, _FREE, _OCCUPIED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class MapDifference:
    """Finest cells that either map knows, and of those how many differ and how.

    A cell differs that is occupied in one map and not in the other, or known in one alone.
    """

    known: int
    differing: int
    no_longer_occupied: int
    newly_occupied: int

    @property
    def share(self) -> float:
        """The share of the known cells that differ."""
        return self.differing / self.known if self.known else 0.0


def compare_maps(expected: Leaves, actual: Leaves) -> MapDifference:
    """Compare the occupancy of two maps of the same resolution."""
    sides = [_Intervals(leaves) for leaves in (expected, actual)]
    bounds = np.unique(np.concatenate([edge for s in sides for edge in (s.starts, s.ends)]))
    lengths = np.diff(bounds)
    before, after = (side.states(bounds[:-1]) for side in sides)

    def cells(chosen: NDArray[np.bool_]) -> int:
        return int(lengths[chosen].sum())

    return MapDifference(
        cells((before != _UNKNOWN) | (after != _UNKNOWN)),
        cells(before != after),
        cells((before == _OCCUPIED) & (after != _OCCUPIED)),
        cells((before != _OCCUPIED) & (after == _OCCUPIED)),
    )


class _Intervals:
    """A map along the Morton curve, on which each leaf is an interval of finest cells."""

    def __init__(self, leaves: Leaves) -> None:
        self.starts = morton_codes(leaves.keys)
        height = 3 * (TREE_DEPTH - leaves.depths.astype(np.int64))
        self.ends = self.starts + (np.int64(1) << height)
        self._states = np.where(leaves.occupied, _OCCUPIED, _FREE)

    def states(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the state of each finest cell."""
        if len(self.starts) == 0:
            return np.full(len(codes), _UNKNOWN)
        found = np.searchsorted(self.starts, codes, "right") - 1
        inside = (found >= 0) & (codes < self.ends[found])
        return np.where(inside, self._states[found], _UNKNOWN)
