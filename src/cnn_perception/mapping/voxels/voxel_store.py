"""Where a map keeps what it knows: blocks of 8 x 8 x 8 cells behind a hash table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import BLOCK_BITS, BLOCK_DEPTH, CELLS, block_keys
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.sensor_model import SensorModel
from cnn_perception.mapping.voxels import voxel_kernels as kernels
from cnn_perception.mapping.voxels.voxel_kernels import BLOCKS, FREE_ROWS, MARKED, VERSION
from cnn_perception.types import BoolArray, Float32Array

__all__ = ["VoxelStore"]

_FIRST_BLOCKS = 1 << 10
_MOST_BLOCKS = 1 << 25
_BY_SLOT = ("codes", "rows", "constants", "versions", "mark_rows")
"""The arrays of a store with an entry for each block."""


class VoxelStore:
    """A sparse grid of float32 log-odds, unknown where nothing was said. Not safe for threads.

    The pools grow by need and keep what they have. `arrays` is what kernels take; it is replaced
    whenever a pool grows, so it must be read anew after `grow`. `generation` counts the times that
    blocks were taken out, after which slots no longer mean what they did.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.arrays = _no_blocks()

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return int(self.arrays.counts[BLOCKS])

    def checkpoint(self) -> int:
        """Return a version that all present blocks have, or an older one; later changes are newer.

        Whoever keeps something made of blocks asks next time for those `changed_since` then.
        """
        self.arrays.counts[VERSION] += 1
        return int(self.arrays.counts[VERSION]) - 1

    def changed_since(self, version: int) -> BoolArray:
        """Return which slots hold blocks that changed after a checkpoint, bool (blocks,)."""
        return np.asarray(self.arrays.versions[: self.blocks] > version, np.bool_)

    def grow(self) -> None:
        """Enlarge each pool that is full."""
        old = self.arrays
        if old.counts[BLOCKS] == old.codes.size:
            self._grow_blocks()
        if old.counts[MARKED] == old.marked.size:
            self.arrays = self.arrays._replace(
                marks=_enlarged(old.marks, 2 * len(old.marks), 0),
                whole=_enlarged(old.whole, 2 * len(old.whole), 0),
                marked=_enlarged(old.marked, 2 * len(old.marked)),
            )
        if old.counts[FREE_ROWS] == 0:
            before, after = len(old.values), len(old.values) * 3 // 2
            free = np.empty(after, np.int32)
            free[: after - before] = np.arange(after - 1, before - 1, -1)
            self.arrays = self.arrays._replace(values=_enlarged(old.values, after), free_rows=free)
            old.counts[FREE_ROWS] = after - before

    def _grow_blocks(self) -> None:
        old = self.arrays
        blocks = 2 * old.codes.size
        if blocks > _MOST_BLOCKS:
            raise MapError(
                f"the map has more than {_MOST_BLOCKS} blocks of 8 x 8 x 8 cells: raise the "
                "resolution, limit max_range or keep a local window only"
            )
        self.arrays = old._replace(**{n: _enlarged(getattr(old, n), blocks) for n in _BY_SLOT})
        self._index()

    def _index(self) -> None:
        """Make the hash table anew, at most half full."""
        size = 2 * self.arrays.codes.size
        codes, slots = np.full(size, -1, np.int64), np.zeros(size, np.int32)
        kernels.index_blocks(codes, slots, self.arrays.codes[: self.blocks])
        self.arrays = self.arrays._replace(directory_codes=codes, directory_slots=slots)

    def lookup(self, keys: NDArray[np.integer]) -> Float32Array:
        """Return the log-odds of cells by their keys, (N, 3); NaN is unknown, or off the map."""
        found = np.empty(len(keys), np.float32)
        kernels.lookup(self.arrays, np.ascontiguousarray(keys, np.int64), found)
        return found

    def restore(self, leaves: Leaves) -> None:
        """Replace everything by these cells.

        Raises MapError when they fill too many blocks; then all stays as it was.
        """
        count = float(((leaves.spans[leaves.depths < BLOCK_DEPTH] / 8.0) ** 3).sum())
        if count > _MOST_BLOCKS:
            raise MapError(
                f"the map has {count:.3g} blocks of 8 x 8 x 8 cells, more than {_MOST_BLOCKS}: cut "
                "it to the region that is needed"
            )
        other = VoxelStore()
        # Versions go on: a block that comes again is not that of an earlier checkpoint.
        other.arrays.counts[VERSION] = self.arrays.counts[VERSION]
        cubes = leaves.split(BLOCK_DEPTH)
        keys, spans, values, done = cubes.keys, cubes.spans, cubes.log_odds, 0
        while (done := kernels.put_cubes(other.arrays, keys, spans, values, done)) < len(cubes):
            other.grow()
        kernels.prune_all(other.arrays)
        self.generation, self.arrays = self.generation + 1, other.arrays

    def fill_box(self, low: NDArray[np.int64], high: NDArray[np.int64], log_odds: float) -> None:
        """Set the known cells with low <= key <= high to a value; NaN makes them unknown."""
        done, value = 0, np.float32(log_odds)
        while (done := kernels.set_box(self.arrays, low, high, value, done)) < self.blocks:
            self.grow()
        if np.isnan(value):
            rows, constants = self.arrays.rows, self.arrays.constants
            empty = (rows[: self.blocks] < 0) & np.isnan(constants[: self.blocks])
            self._keep(~empty)

    def keep_box(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
        """Forget the blocks that lie wholly outside low <= key <= high."""
        keys = block_keys(self.arrays.codes[: self.blocks])
        inside = (keys >= low >> BLOCK_BITS) & (keys <= high >> BLOCK_BITS)
        self._keep(np.asarray(inside.all(axis=1), np.bool_))

    def _keep(self, kept: BoolArray) -> None:
        """Take the other blocks out."""
        if kept.all():
            return
        store, count = self.arrays, self.blocks
        freed = store.rows[:count][~kept]
        freed = freed[freed >= 0]
        left = int(store.counts[FREE_ROWS])
        store.free_rows[left : left + len(freed)] = freed
        store.counts[FREE_ROWS] = left + len(freed)
        remaining = int(np.count_nonzero(kept))
        for column in (getattr(store, name) for name in _BY_SLOT):
            column[:remaining] = column[:count][kept]
        store.counts[BLOCKS] = remaining
        self.generation += 1
        self._index()

    def merge(self, model: SensorModel) -> None:
        """Update each cell that a scan has marked, once, and clear the marks."""
        while not kernels.merge(self.arrays, model.hit, model.miss, model.lowest, model.highest):
            self.grow()

    def forget_marks(self) -> None:
        """Undo what a scan has marked, if it cannot be finished."""
        store, marked = self.arrays, int(self.arrays.counts[MARKED])
        store.marks[:marked] = 0
        store.mark_rows[store.marked[:marked]] = -1
        store.counts[MARKED] = 0

    def page_in(self) -> None:
        """Write to the memory that the next scan will fill: it is then in place."""
        store = self.arrays
        store.marks.fill(0)
        store.values[store.free_rows[: store.counts[FREE_ROWS]]] = np.nan

    def memory_bytes(self) -> int:
        """Return the bytes that blocks and their hash table take."""
        store = self.arrays
        rows = len(store.values) - int(store.counts[FREE_ROWS])
        by_slot = sum(getattr(store, name).itemsize for name in _BY_SLOT)
        table = store.directory_codes.nbytes + store.directory_slots.nbytes
        return rows * CELLS * 4 + self.blocks * by_slot + table


def _no_blocks() -> kernels.Store:
    """Return the arrays of a store without blocks."""
    blocks = _FIRST_BLOCKS
    return kernels.Store(
        directory_codes=np.full(2 * blocks, -1, np.int64),
        directory_slots=np.zeros(2 * blocks, np.int32),
        codes=np.empty(blocks, np.int64),
        rows=np.empty(blocks, np.int32),
        constants=np.empty(blocks, np.float32),
        versions=np.empty(blocks, np.int64),
        mark_rows=np.empty(blocks, np.int32),
        values=np.empty((blocks, CELLS), np.float32),
        free_rows=np.arange(blocks - 1, -1, -1, dtype=np.int32),
        marks=np.zeros((blocks, CELLS), np.uint8),
        whole=np.zeros(blocks, np.uint8),
        marked=np.empty(blocks, np.int32),
        counts=np.array([0, 0, blocks, 0], np.int64),
    )


def _enlarged(array: NDArray[Any], length: int, fill: float | None = None) -> NDArray[Any]:
    """Return a longer copy along the first axis; the new part is `fill`, or left as it comes."""
    longer = np.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    if fill is not None:
        longer[len(array) :] = fill
    return longer
