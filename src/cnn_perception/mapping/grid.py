"""The occupancy map seen from above, as octomap_server's projected_map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.types import GridMap2D

__all__ = ["FREE", "OCCUPIED", "UNKNOWN", "frame_grid", "project"]

OCCUPIED, FREE, UNKNOWN = 100, 0, -1
_LARGEST = 1 << 28


def project(
    leaves: Leaves,
    resolution: float,
    depth: int = TREE_DEPTH,
    min_size: tuple[float, float] = (0.0, 0.0),
) -> GridMap2D:
    """Return the grid over all given leaves: 100 where any is occupied, else 0, -1 where none is.

    Its cells are those of `depth`; the leaves have no finer ones. The grid is as wide as the leaves
    but covers at least min_size (x, y), metres, about the map's origin. Raises MapError for a map
    so wide that its grid would have more than 2^28 cells.
    """
    if len(leaves) == 0:
        empty = np.zeros((0, 0), np.int8)
        return frame_grid(empty, np.zeros(2, np.int64), resolution, depth, min_size)
    shift = TREE_DEPTH - depth
    corners = leaves.keys[:, :2].astype(np.int64) >> shift
    spans = leaves.spans >> shift
    low = corners.min(axis=0)
    width, height = (int(v) for v in (corners + spans[:, None]).max(axis=0) - low)
    _check_size(width, height, resolution * (1 << shift))
    grid = np.full(width * height, UNKNOWN, np.int8)
    for value, chosen in ((FREE, ~leaves.occupied), (OCCUPIED, leaves.occupied)):
        for span in np.unique(spans[chosen]):
            column, row = (corners[chosen & (spans == span)] - low).T
            side = np.arange(span)
            cover = (side[:, None] * width + side).ravel()
            grid[((row * width + column)[:, None] + cover).ravel()] = value
    return frame_grid(grid.reshape(height, width), low, resolution, depth, min_size)


def frame_grid(
    cells: NDArray[np.int8],
    low: NDArray[np.int64],
    resolution: float,
    depth: int,
    min_size: tuple[float, float],
) -> GridMap2D:
    """Place a grid of cells of `depth`, whose first is at key `low` (x, y) of that depth.

    Unknown cells are added where it does not cover min_size. Raises MapError as `project`.
    """
    edge = resolution * (1 << (TREE_DEPTH - depth))
    origin = KEY_ORIGIN >> (TREE_DEPTH - depth)
    size = np.array(cells.shape[::-1], np.int64)
    first, last = low.copy(), low + size
    for axis in range(2):
        if min_size[axis] > 0:
            # octomap_server pads to the cells that hold -size/2 and size/2.
            pad = np.floor(np.array([-0.5, 0.5]) * min_size[axis] / edge).astype(np.int64) + origin
            known = [first[axis], last[axis]] if cells.size else [pad[0], pad[1]]
            first[axis] = min(known[0], pad[0])
            last[axis] = max(known[1], pad[1] + 1)
    width, height = (int(v) for v in last - first)
    if (width, height) != cells.shape[::-1]:
        _check_size(width, height, edge)
        framed = np.full((height, width), UNKNOWN, np.int8)
        if cells.size:
            x, y = (int(v) for v in low - first)
            framed[y : y + cells.shape[0], x : x + cells.shape[1]] = cells
        cells = framed
    if cells.size == 0:
        return GridMap2D(cells, (0.0, 0.0), edge)
    corner = tuple((int(key) - origin) * edge for key in first)
    return GridMap2D(cells, (corner[0], corner[1]), edge)


def _check_size(width: int, height: int, edge: float) -> None:
    if width * height > _LARGEST:
        raise MapError(
            f"the map is {width * edge:.0f} m x {height * edge:.0f} m wide: its grid of {edge:g} m "
            "cells is too large; limit max_range, raise the resolution or lower max_depth"
        )
