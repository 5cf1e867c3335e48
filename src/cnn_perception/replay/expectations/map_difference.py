"""How much of two occupancy maps differs, without taking them apart into finest cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.keys import morton_codes, morton_keys
from cnn_perception.mapping.leaves import Leaves, find_leaves

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
    # Along the Morton curve each leaf is an interval of finest cells.
    starts = [morton_codes(leaves.keys) for leaves in (expected, actual)]
    ends = [starts[0] + expected.spans**3, starts[1] + actual.spans**3]
    bounds = np.unique(np.concatenate(starts + ends))
    lengths = np.diff(bounds)
    before, after = (_states(leaves, bounds[:-1]) for leaves in (expected, actual))

    def cells(chosen: NDArray[np.bool_]) -> int:
        return int(lengths[chosen].sum())

    return MapDifference(
        cells((before != _UNKNOWN) | (after != _UNKNOWN)),
        cells(before != after),
        cells((before == _OCCUPIED) & (after != _OCCUPIED)),
        cells((before != _OCCUPIED) & (after == _OCCUPIED)),
    )


def _states(leaves: Leaves, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the state of each finest cell, given by its Morton code."""
    states = np.where(leaves.occupied, _OCCUPIED, _FREE)
    return np.append(states, _UNKNOWN)[find_leaves(leaves, morton_keys(codes))]
