"""How right a map's occupied cells are, within one cell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from cnn_perception.mapping.files.octomap_codec import MapFile
from cnn_perception.mapping.files.storage import load_map
from cnn_perception.types import Int64Array

__all__ = ["MapAccuracy", "measure_map"]

_NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=3)), np.int64)
_SHIFT, _BIAS = 21, 1 << 20


@dataclass(frozen=True, slots=True)
class MapAccuracy:
    """Shares of occupied cells: of the map's that are true, and of the true ones that it has.

    NaN where there are none.
    """

    precision: float
    recall: float


def measure_map(path: Path, truth: Path) -> MapAccuracy:
    """Compare the occupied cells of two map files.

    A cell is right when the other map has an occupied one no more than one cell away, along each
    axis. Maps of different resolutions are compared in the cells of the coarser one. Raises
    MapError for a file that cannot be read.
    """
    found, true = load_map(path), load_map(truth)
    edge = max(found.resolution, true.resolution)
    ours, theirs = _occupied(found, edge), _occupied(true, edge)
    return MapAccuracy(_near(ours, theirs), _near(theirs, ours))


def _occupied(file: MapFile, edge: float) -> Int64Array:
    """Return the cells (N, 3) of an edge length, metres, that hold occupied finest cells."""
    leaves = file.leaves.select(file.leaves.occupied).finest()
    centers = leaves.cells(file.resolution).centers.astype(np.float64)
    cells: Int64Array = np.unique(np.floor(centers / edge).astype(np.int64), axis=0)
    return cells


def _near(cells: Int64Array, others: Int64Array) -> float:
    """Return the share of cells that have one of the others as a neighbour, or are one."""
    if len(cells) == 0:
        return float("nan")
    there = _codes(others)
    near = np.zeros(len(cells), bool)
    for step in _NEIGHBOURS:
        near |= np.isin(_codes(cells + step), there)
    return float(near.mean())


def _codes(cells: Int64Array) -> Int64Array:
    """Return a number for each cell; those of maps fit, whose keys have 16 bits."""
    x, y, z = (cells + _BIAS).T
    codes: Int64Array = (x << (2 * _SHIFT)) | (y << _SHIFT) | z
    return codes
