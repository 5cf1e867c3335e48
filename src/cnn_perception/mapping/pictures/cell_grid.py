"""Cells of a map as whole numbers, for drawing: one size of cube, each place once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.types import Cells, Float32Array, Float64Array

__all__ = ["CellGrid", "Index", "ceiling", "cell_grid", "drawn_edge", "height_fractions"]

Index = NDArray[np.int64]

_MOST_ACROSS = 600  # finer maps are drawn with coarser cubes: theirs would be less than a pixel
_CEILING = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class CellGrid:
    """Cells as whole numbers: cell (0, 0, 0) has its lower corner at the origin of the map.

    sources: which of the given cells each was, or the first of several.
    """

    cells: Index
    sources: Index
    edge: float

    def to_grid(self, points: Float32Array) -> Float64Array:
        return points.astype(np.float64) / self.edge


def drawn_edge(cells: Cells) -> float:
    """Return the edge of the cubes to draw: the finest cells' unless the map is very wide."""
    if len(cells) == 0:
        return 1.0
    edge = float(cells.sizes.min())
    across = float((cells.centers.max(axis=0) - cells.centers.min(axis=0)).max()) / edge
    return edge * 2.0 ** max(0, math.ceil(math.log2(max(across, 1.0) / _MOST_ACROSS)))


def cell_grid(cells: Cells, below: float, edge: float) -> CellGrid:
    """Split cells into cubes of the given edge; of larger ones only the shell is kept."""
    chosen = cells.centers[:, 2] <= below
    sizes = cells.sizes[chosen].astype(np.float64)
    lower = cells.centers[chosen] - 0.5 * sizes[:, None]
    # A thousandth of a cell keeps corners that lie on the grid from falling one cell short.
    first = np.floor(lower / edge + 1e-3).astype(np.int64)
    spans = np.maximum(1, np.rint(sizes / edge)).astype(np.int64)
    parts, sources = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for span in np.unique(spans):
        steps = np.indices((span, span, span)).reshape(3, -1).T
        shell = steps[((steps == 0) | (steps == span - 1)).any(axis=1)]
        parts.append((first[spans == span][:, None, :] + shell).reshape(-1, 3))
        sources.append(np.repeat(np.flatnonzero(chosen)[spans == span], len(shell)))
    cubes = np.concatenate(parts)
    kept = _distinct(cubes)
    return CellGrid(cubes[kept], np.concatenate(sources)[kept], edge)


def _distinct(cells: Index) -> Index:
    """Return where each cell comes first, in the order of cells."""
    if len(cells) == 0:
        return np.zeros(0, np.int64)
    low = cells.min(axis=0)
    shape = tuple(cells.max(axis=0) - low + 1)
    flat = np.ravel_multi_index(tuple((cells - low).T), shape)
    return np.asarray(np.unique(flat, return_index=True)[1], np.int64)


def height_fractions(levels: Index, edge: float) -> tuple[Float32Array, tuple[float, float]]:
    """Return each level's place in the range of heights, and that range without rare outliers."""
    low, high = np.percentile(levels, [1, 99])
    fractions = (levels - low) / max(high - low, 1.0)
    return fractions.astype(np.float32), (float(low) * edge, float(high + 1) * edge)


def ceiling(cells: Cells, camera_path: Float32Array) -> float:
    """Return the height, metres, of the underside of a ceiling; infinity where there is none.

    A ceiling is a layer of cells above all camera positions, float32 (N, 3), that covers a quarter
    of the columns in which anything is occupied.
    """
    if len(cells) == 0 or len(camera_path) == 0:
        return math.inf
    grid = cell_grid(cells, math.inf, drawn_edge(cells))
    columns = len(np.unique(grid.cells[:, :2], axis=0))
    above = grid.cells[grid.cells[:, 2] > camera_path[:, 2].max() / grid.edge, 2]
    levels, counts = np.unique(above, return_counts=True)
    wide = levels[counts > _CEILING * columns]
    return float(wide[0]) * grid.edge if len(wide) else math.inf
