"""Occupied cells that no scan has seen for long fade away, and are unknown again in the end.

What moved away while no sensor looked would otherwise stay in the map for ever. A cell that was
last seen at time s has lost rate * (t - s - after) of its log-odds at time t. When nothing is
left it becomes unknown, not free: nobody saw that the place is empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import CELLS
from cnn_perception.mapping.voxels.voxel_kernels import (
    BLOCKS,
    MARKED,
    OCCUPIED,
    VERSION,
    Store,
    expand,
    find,
    prune_block,
)
from cnn_perception.mapping.voxels.voxel_store import VoxelStore

__all__ = ["Decay"]

_TICK_NS = 10_000_000  # int32 ticks of 10 ms last for 248 days
_STEP_TICKS = 25
_FIRST_ROWS = 64


class _Times(NamedTuple):
    """When cells were last seen, in ticks, for those blocks that hold occupied cells."""

    rows: NDArray[np.int32]  # by slot of the store: row of ticks, or -1
    codes: NDArray[np.int64]  # by row: the block
    ticks: NDArray[np.int32]  # (rows, 512)
    free_rows: NDArray[np.int32]  # stack of the rows that no block has
    counts: NDArray[np.int64]  # free rows


class Decay:
    """The fading of a VoxelStore. It costs little for blocks without occupied cells.

    `note_seen` is called with every scan between marking and merging, `fade` after it. Time is that
    of the scans; between two of them nothing fades. Cells whose last scan is not known, those of a
    loaded map for instance, count as seen when they are first met.
    """

    def __init__(self) -> None:
        self._epoch_ns: int | None = None
        self._now = 0
        self._faded_to = 0
        self._generation = -1
        self._unmet = True
        self._times = _Times(
            rows=np.full(0, -1, np.int32),
            codes=np.full(_FIRST_ROWS, -1, np.int64),
            ticks=np.zeros((_FIRST_ROWS, CELLS), np.int32),
            free_rows=np.arange(_FIRST_ROWS - 1, -1, -1, dtype=np.int32),
            counts=np.array([_FIRST_ROWS], np.int64),
        )

    def set_time(self, stamp_ns: int) -> None:
        """Say when the scan was taken that comes next. Time may go back."""
        if self._epoch_ns is None:
            self._epoch_ns = stamp_ns
        limit = int(np.iinfo(np.int32).max)
        now = max(-limit, min(limit, (stamp_ns - self._epoch_ns) // _TICK_NS))
        if now < self._now:
            np.minimum(self._times.ticks, now, out=self._times.ticks)
            self._faded_to = min(self._faded_to, now)
        self._now = now

    def meet_anew(self) -> None:
        """Say that the store got occupied cells from elsewhere, whose times are unknown."""
        self._times.codes[:] = -1
        self._times.free_rows[:] = np.arange(len(self._times.free_rows))
        self._times.counts[0] = len(self._times.free_rows)
        self._times.rows[:] = -1
        self._unmet = True

    def note_seen(self, store: VoxelStore) -> None:
        """Note which cells the present scan has marked; before `merge` clears the marks."""
        self._follow(store)
        while not _note_seen(store.arrays, self._times, np.int32(self._now)):
            self._grow()

    def fade(self, store: VoxelStore, after_s: float, rate: float) -> None:
        """Let cells fade that were last seen more than after_s ago, by `rate` per second.

        It does so in steps of a quarter of a second.
        """
        if self._now - self._faded_to < _STEP_TICKS:
            return
        self._follow(store)
        after, loss = after_s * 1e9 / _TICK_NS, rate * _TICK_NS * 1e-9
        done = 0
        while True:
            done = _fade(store.arrays, self._times, done, self._faded_to, self._now, after, loss)
            if done == store.blocks:
                break
            store.grow()
        self._faded_to = self._now

    def memory_bytes(self) -> int:
        """Return the bytes that the times take."""
        return sum(column.nbytes for column in self._times)

    def _follow(self, store: VoxelStore) -> None:
        """Keep the times with their blocks: the store may have moved, removed or added some."""
        slots = store.arrays.codes.size
        if store.generation != self._generation or slots > self._times.rows.size:
            # New slots begin without times; those of the blocks that are left are found again.
            self._generation = store.generation
            self._times = self._times._replace(rows=np.full(slots, -1, np.int32))
            _attach(store.arrays, self._times)
        if self._unmet:
            while not _meet(store.arrays, self._times, np.int32(self._now)):
                self._grow()
            self._unmet = False

    def _grow(self) -> None:
        old, count = self._times, len(self._times.codes)
        codes, ticks = np.full(2 * count, -1, np.int64), np.zeros((2 * count, CELLS), np.int32)
        codes[:count], ticks[:count] = old.codes, old.ticks
        free = np.empty(2 * count, np.int32)
        free[:count] = np.arange(2 * count - 1, count - 1, -1)
        counts = np.array([count], np.int64)
        self._times = old._replace(codes=codes, ticks=ticks, free_rows=free, counts=counts)


@inlined
def _row_of(store: Store, times: _Times, slot: int, now: np.int32) -> int:
    """Return the row of a block's times, all `now` if it had none; -1 when no row is left."""
    row = np.int64(times.rows[slot])
    if row < 0:
        left = times.counts[0]
        if left == 0:
            return -1
        row = np.int64(times.free_rows[left - 1])
        times.counts[0] = left - 1
        times.rows[slot] = row
        times.codes[row] = store.codes[slot]
        times.ticks[row, :] = now
    return row


@inlined
def _release(times: _Times, row: int) -> None:
    times.codes[row] = -1
    times.free_rows[times.counts[0]] = row
    times.counts[0] += 1


@kernel
def _attach(store: Store, times: _Times) -> None:
    """Find the slots of all blocks with times anew; of blocks that are gone the times go too."""
    for row in range(times.codes.size):
        if times.codes[row] < 0:
            continue
        slot = find(store, times.codes[row])
        if slot >= 0:
            times.rows[slot] = row
        else:
            _release(times, row)


@kernel
def _meet(store: Store, times: _Times, now: np.int32) -> bool:
    """Give times to all blocks that hold occupied cells; false when no row is left."""
    for slot in range(store.counts[BLOCKS]):
        row = store.rows[slot]
        occupied = False
        if row < 0:
            occupied = store.constants[slot] >= 0
        else:
            for cell in range(CELLS):
                occupied |= store.values[row, cell] >= 0
        if occupied and _row_of(store, times, slot, now) < 0:
            return False
    return True


@kernel
def _note_seen(store: Store, times: _Times, now: np.int32) -> bool:
    """Note the time of all marked cells; false when no row is left."""
    for mark_row in range(store.counts[MARKED]):
        slot = np.int64(store.marked[mark_row])
        if store.whole[mark_row]:
            if times.rows[slot] >= 0:
                times.ticks[times.rows[slot], :] = now
            continue
        marks = store.marks[mark_row]
        if times.rows[slot] < 0:
            occupied = False
            for cell in range(CELLS):
                occupied |= marks[cell] == OCCUPIED
            if not occupied:
                continue
        row = _row_of(store, times, slot, now)
        if row < 0:
            return False
        for cell in range(CELLS):
            if marks[cell] != 0:
                times.ticks[row, cell] = now
    return True


@kernel
def _fade(
    store: Store,
    times: _Times,
    start: int,
    faded_to: int,
    now: int,
    after: float,
    loss: float,
) -> int:
    """Let the blocks from slot `start` on fade from faded_to to now, in ticks.

    Returns how many blocks are done: fewer than there are when the rows of values are used up.
    """
    for slot in range(start, store.counts[BLOCKS]):
        time_row = np.int64(times.rows[slot])
        if time_row < 0:
            continue
        ticks = times.ticks[time_row]
        row = store.rows[slot]
        occupied, due = False, False
        for cell in range(CELLS):
            value = store.constants[slot] if row < 0 else store.values[row, cell]
            occupied |= value >= 0
            due |= value >= 0 and now > ticks[cell] + after
        if not occupied:
            times.rows[slot] = -1
            _release(times, time_row)
        if not due:
            continue
        row = expand(store, slot)
        if row < 0:
            return slot
        values = store.values[row]
        for cell in range(CELLS):
            begin = max(ticks[cell] + after, np.float64(faded_to))
            if values[cell] >= 0 and now > begin:
                left = np.float32(values[cell] - loss * (now - begin))
                values[cell] = left if left > 0 else np.float32(np.nan)
        store.versions[slot] = store.counts[VERSION]
        prune_block(store, slot)
    return np.int64(store.counts[BLOCKS])
