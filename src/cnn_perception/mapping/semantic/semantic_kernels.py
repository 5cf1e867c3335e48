"""Compiled counting of labels: from the pixels of a mask to votes of the cells they end in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import kernel
from cnn_perception.mapping.projection import PixelRays, coordinate, is_reading
from cnn_perception.mapping.voxels.cell_kernels import cell_of, norm
from cnn_perception.mapping.voxels.voxel_kernels import hashed
from cnn_perception.types import Float32Array

__all__ = [
    "CLASSES",
    "IGNORED",
    "NOBODY",
    "UNKNOWN",
    "Counts",
    "Runs",
    "Votes",
    "best_classes",
    "cast_votes",
    "count_labels",
    "find_runs",
    "index_cells",
    "table_size",
]

CLASSES = 8
"""How many classes a cell remembers; of more, those with the fewest votes give way."""
NOBODY = -1
"""Stands in a place of a cell that no class has taken."""
IGNORED, UNKNOWN = -1, -2
"""What a class id can mean instead of a class: not to be mapped, or not named by the labels."""


class Runs(NamedTuple):
    """Neighbouring pixels of one cell and one class: packed cell keys, class or IGNORED, pixels."""

    cells: NDArray[np.int64]
    classes: NDArray[np.int32]
    pixels: NDArray[np.int32]

    @classmethod
    def empty(cls, pixels: int) -> Runs:
        """Make room for the runs of so many pixels."""
        cells, pair = np.empty(pixels, np.int64), np.empty((2, pixels), np.int32)
        return cls(cells, pair[0], pair[1])


class Counts(NamedTuple):
    """The pixels of one scan by cell: a hash table of rows (-1 empty), and the rows.

    cells: int64 (N,); totals: int32 (N,), ignored pixels included; classes: int32 (N, CLASSES) and
    pixels: int32 (N, CLASSES), NOBODY where a place is free.
    """

    table: NDArray[np.int32]
    cells: NDArray[np.int64]
    totals: NDArray[np.int32]
    classes: NDArray[np.int32]
    pixels: NDArray[np.int32]

    @classmethod
    def empty(cls, rows: int) -> Counts:
        """Make room for so many cells; the table is not yet empty."""
        table = np.empty(table_size(rows), np.int32)
        cells, totals = np.empty(rows, np.int64), np.empty(rows, np.int32)
        return cls(table, cells, totals, *(np.empty((rows, CLASSES), np.int32) for _ in range(2)))


class Votes(NamedTuple):
    """What all scans said: a hash table of rows (-1 empty), and the rows, as in Counts."""

    table: NDArray[np.int32]
    cells: NDArray[np.int64]
    classes: NDArray[np.int32]
    votes: Float32Array

    @classmethod
    def empty(cls, rows: int) -> Votes:
        """Make room for so many cells."""
        return cls(
            np.full(table_size(rows), -1, np.int32),
            np.empty(rows, np.int64),
            np.empty((rows, CLASSES), np.int32),
            np.empty((rows, CLASSES), np.float32),
        )


def table_size(rows: int) -> int:
    """Return the size of a hash table for so many rows: a power of two, at most half full."""
    return 1 << max(4, (2 * rows - 1).bit_length())


@kernel
def _place(table: NDArray[np.int32], cells: NDArray[np.int64], cell: int) -> int:
    """Return the place of a cell in a hash table: its own, or the empty one that it would take."""
    mask = table.size - 1
    place = hashed(cell, mask)
    while table[place] >= 0 and cells[table[place]] != cell:
        place = (place + 1) & mask
    return place


@kernel
def find_runs(
    depth: Float32Array,
    rays: PixelRays,
    stride: int,
    ranges: tuple[float, float],
    per_metre: float,
    mask: NDArray[np.uint16],
    columns: NDArray[np.int32],
    rows: NDArray[np.int32],
    meanings: NDArray[np.int32],
    runs: Runs,
    pixels: NDArray[np.int64],
) -> int:
    """Join the pixels of a depth image, row by row, that end in one cell and have one class.

    ranges: the least and the greatest (negative: unlimited) range of an end, metres. columns, rows:
    where in the mask each pixel that `stride` chooses looks. meanings: the class of each mask
    value, IGNORED or UNKNOWN. `pixels` receives how many had an end, were ignored and unknown.
    Returns the number of runs.
    """
    nearest, infinite = np.float32(ranges[0] * ranges[0]), np.float32(np.inf)
    farthest = ranges[1]
    ox, oy, oz = rays.origin[0], rays.origin[1], rays.origin[2]
    half = stride // 2
    count = -1
    cell, meaning = np.int64(-1), np.int32(0)
    for v in range(rays.rows.shape[1]):
        line, labels = depth[v * stride + half], mask[rows[v]]
        row_x, row_y, row_z = rays.rows[0, v], rays.rows[1, v], rays.rows[2, v]
        for u in range(rays.columns.shape[1]):
            z = line[u * stride + half]
            if not is_reading(z, rays.column_slopes[u], rays.row_slopes[v], nearest, infinite):
                continue
            x = coordinate(rays.columns[0, u], row_x, z, ox)
            y = coordinate(rays.columns[1, u], row_y, z, oy)
            w = coordinate(rays.columns[2, u], row_z, z, oz)
            if farthest >= 0 and not norm(x - ox, y - oy, w - oz) <= farthest:
                continue
            here = cell_of(x, y, w, per_metre)
            if here < 0:
                continue
            pixels[0] += 1
            new = meanings[labels[columns[u]]]
            if new < 0:
                pixels[1 if new == IGNORED else 2] += 1
                new = np.int32(IGNORED)
            if here != cell or new != meaning:
                count += 1
                cell, meaning = here, new
                runs.cells[count], runs.classes[count], runs.pixels[count] = here, new, 0
            runs.pixels[count] += 1
    return count + 1


@kernel
def count_labels(runs: Runs, length: int, counts: Counts) -> int:
    """Add up the runs of each cell; returns the number of cells.

    `counts` has room for `length` cells, twice that in its table, which is empty. Of more than
    CLASSES classes in a cell the later ones count in its total only.
    """
    used = 0
    for i in range(length):
        cell = runs.cells[i]
        place = _place(counts.table, counts.cells, cell)
        row = counts.table[place]
        if row < 0:
            row = used
            used += 1
            counts.table[place] = row
            counts.cells[row], counts.totals[row] = cell, 0
            counts.classes[row, :] = NOBODY
        counts.totals[row] += runs.pixels[i]
        if runs.classes[i] < 0:
            continue
        for k in range(CLASSES):
            if counts.classes[row, k] == runs.classes[i]:
                counts.pixels[row, k] += runs.pixels[i]
                break
            if counts.classes[row, k] == NOBODY:
                counts.classes[row, k] = runs.classes[i]
                counts.pixels[row, k] = runs.pixels[i]
                break
    return used


@kernel
def cast_votes(counts: Counts, scanned: int, votes: Votes, used: int, memory: float) -> int:
    """Give each cell one vote, split among the classes as its pixels are; returns the rows in use.

    `votes` has room for `scanned` more cells. Where a cell has more than `memory` votes, all of
    them fade in proportion until it has `memory`.
    """
    for i in range(scanned):
        if counts.classes[i, 0] == NOBODY:
            continue
        place = _place(votes.table, votes.cells, counts.cells[i])
        row = votes.table[place]
        if row < 0:
            row = used
            used += 1
            votes.table[place] = row
            votes.cells[row] = counts.cells[i]
            votes.classes[row, :] = NOBODY
            votes.votes[row, :] = 0
        for k in range(CLASSES):
            if counts.classes[i, k] == NOBODY:
                break
            share = np.float32(counts.pixels[i, k] / counts.totals[i])
            _add_vote(votes.classes[row], votes.votes[row], counts.classes[i, k], share)
        total = np.float64(0)
        for k in range(CLASSES):
            total += votes.votes[row, k]
        if total > memory:
            for k in range(CLASSES):
                votes.votes[row, k] = np.float32(votes.votes[row, k] * (memory / total))
    return used


@kernel
def _add_vote(
    classes: NDArray[np.int32], votes: Float32Array, chosen: int, share: np.float32
) -> None:
    """Add a vote for a class; where all places are taken, to that of the weakest if it is less."""
    weakest = 0
    for k in range(CLASSES):
        if classes[k] == chosen or classes[k] == NOBODY:
            classes[k] = chosen
            votes[k] += share
            return
        if votes[k] < votes[weakest]:
            weakest = k
    if votes[weakest] < share:
        classes[weakest], votes[weakest] = chosen, share


@kernel
def index_cells(table: NDArray[np.int32], cells: NDArray[np.int64], used: int) -> None:
    """Enter rows into an empty hash table."""
    for row in range(used):
        table[_place(table, cells, cells[row])] = row


@kernel
def best_classes(
    classes: NDArray[np.int32],
    votes: Float32Array,
    winners: NDArray[np.int32],
    wins: Float32Array,
    totals: Float32Array,
) -> None:
    """Find the class with most votes of each cell, the lower of two equal ones, and all votes."""
    for row in range(classes.shape[0]):
        winner = 0
        total = np.float64(0)
        for k in range(CLASSES):
            total += votes[row, k]
            if classes[row, k] == NOBODY:
                continue
            more = votes[row, k] > votes[row, winner]
            tie = votes[row, k] == votes[row, winner]
            if more or (tie and classes[row, k] < classes[row, winner]):
                winner = k
        winners[row], wins[row], totals[row] = (
            classes[row, winner],
            votes[row, winner],
            np.float32(total),
        )
