"""The map from above, kept up to date column by column: octomap_server's incremental projection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.grid import UNKNOWN, frame_grid
from cnn_perception.mapping.jit import kernel
from cnn_perception.mapping.keys import CELLS, LAST_KEY, TREE_DEPTH, visible
from cnn_perception.mapping.voxels.cell_kernels import block_corner
from cnn_perception.mapping.voxels.voxel_kernels import Store
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import BoolArray, GridMap2D

__all__ = ["ColumnMap"]

_SIDE = 8


class ColumnMap:
    """The projection of a VoxelStore, of which only columns with changed blocks are recomputed.

    A column is that of a block, 8 x 8 cells. The result equals `grid.project` over the leaves.
    """

    def __init__(self) -> None:
        self._generation = -1
        self._version = -1
        self._heights = (0.0, 0.0)
        self._resolution = 0.0
        self._codes = np.zeros(0, np.int64)
        self._tiles = np.zeros((0, _SIDE, _SIDE), np.int8)
        self.recomputed = 0

    def project(
        self,
        store: VoxelStore,
        resolution: float,
        heights: tuple[float, float],
        min_size: tuple[float, float] = (0.0, 0.0),
    ) -> GridMap2D:
        """Return the present projection between two heights, metres; see `grid.project`."""
        self._refresh(store, resolution, heights)
        x, y = self._codes >> 13, self._codes & 8191
        if len(x) == 0:
            empty = np.zeros((0, 0), np.int8)
            return frame_grid(empty, np.zeros(2, np.int64), resolution, TREE_DEPTH, min_size)
        low = np.array([x.min(), y.min()])
        columns, rows = int(x.max() - low[0]) + 1, int(y.max() - low[1]) + 1
        tiled = np.full((rows, _SIDE, columns, _SIDE), UNKNOWN, np.int8)
        tiled[y - low[1], :, x - low[0], :] = self._tiles
        cells = tiled.reshape(rows * _SIDE, columns * _SIDE)
        cells, first = _known_part(cells, low * _SIDE)
        return frame_grid(cells, first, resolution, TREE_DEPTH, min_size)

    def _refresh(self, store: VoxelStore, resolution: float, heights: tuple[float, float]) -> None:
        """Recompute the columns that changed: all, where more than cells' values did."""
        arrays, count = store.arrays, store.blocks
        codes = arrays.codes[:count] >> 13
        changed = store.changed_since(self._version)
        key = (store.generation, heights, resolution)
        if key != (self._generation, self._heights, self._resolution):
            self._generation, self._heights, self._resolution = key
            self._codes = np.zeros(0, np.int64)
            self._tiles = np.zeros((0, _SIDE, _SIDE), np.int8)
            changed = np.ones(count, np.bool_)
        self._version = store.checkpoint()
        dirty = np.unique(codes[changed])
        self.recomputed = len(dirty)
        members = np.flatnonzero(np.isin(codes, dirty))
        tiles = np.full((len(dirty), _SIDE, _SIDE), UNKNOWN, np.int8)
        _fold(
            arrays,
            members,
            np.searchsorted(dirty, codes[members]),
            visible(np.arange(LAST_KEY + 1), 1, resolution, *heights),
            tiles,
        )
        self._put(dirty, tiles)

    def _put(self, codes: NDArray[np.int64], tiles: NDArray[np.int8]) -> None:
        """Replace or add the tiles of these columns; codes stay sorted."""
        kept = ~np.isin(self._codes, codes)
        joined = np.concatenate([self._codes[kept], codes])
        order = np.argsort(joined)
        self._codes = joined[order]
        self._tiles = np.concatenate([self._tiles[kept], tiles])[order]


def _known_part(
    cells: NDArray[np.int8], low: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Cut off the rows and columns around that are wholly unknown."""
    known = cells != UNKNOWN
    x, y = np.flatnonzero(known.any(axis=0)), np.flatnonzero(known.any(axis=1))
    if len(x) == 0:
        return np.zeros((0, 0), np.int8), np.zeros(2, np.int64)
    return cells[y[0] : y[-1] + 1, x[0] : x[-1] + 1], low + np.array([x[0], y[0]])


@kernel
def _fold(
    store: Store,
    slots: NDArray[np.int64],
    columns: NDArray[np.int64],
    seen: BoolArray,
    tiles: NDArray[np.int8],
) -> None:
    """Enter blocks into the tiles (K, y, x) of their columns: occupied wins over free."""
    for i in range(slots.size):
        slot = slots[i]
        tile = tiles[columns[i]]
        _, _, bottom = block_corner(store.codes[slot])
        row = store.rows[slot]
        for cell in range(CELLS):
            value = store.constants[slot] if row < 0 else store.values[row, cell]
            if value != value or not seen[bottom + (cell >> 6)]:
                continue
            state = 100 if value >= 0 else 0
            if state > tile[(cell >> 3) & 7, cell & 7]:
                tile[(cell >> 3) & 7, cell & 7] = state
