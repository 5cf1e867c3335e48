"""Clouds into the marks of a scan, ray by ray."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.jit import kernel
from cnn_perception.mapping.keys import INSIDE_BLOCK
from cnn_perception.mapping.projection import PixelRays, read_cells, read_points
from cnn_perception.mapping.scans import ScanReport
from cnn_perception.mapping.voxels.cell_kernels import (
    NOT_A_POINT,
    OFF_THE_MAP,
    advance,
    block_of,
    cell_of,
    center_of,
    cut_ray,
    index_in_block,
    norm,
    packed_cell,
    start_ray,
)
from cnn_perception.mapping.voxels.voxel_kernels import (
    FREE,
    Store,
    allocate_marks,
    mark_hits,
    marked_row,
    place_of,
)
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import Float32Array, Float64Array

__all__ = ["RayCaster"]


class _Ends(NamedTuple):
    """Where the rays of a scan end.

    points: float32 (N, 3) metres; cells: packed, -1 for a ray that is of no use; hits: the same
    where a point was measured, -1 where the ray was cut.
    """

    points: Float32Array
    cells: NDArray[np.int64]
    hits: NDArray[np.int64]


class RayCaster:
    """Marks in a store the cells that rays pass as free, and those where they end as occupied.

    Keeps its scratch arrays from scan to scan.
    """

    def __init__(self, resolution: float) -> None:
        self._resolution = resolution
        self._seen = np.empty(1 << 14, np.int64)
        self._cells = np.empty(0, np.float64)
        self._make_room(1)

    def mark(
        self,
        store: VoxelStore,
        points: Float32Array,
        origin: Float32Array,
        max_range: float,
        discretize: bool,
        hits: bool = True,
    ) -> ScanReport:
        """Mark the rays from the origin, float32 (3,), to points, float32 (N, 3), in the map frame.

        Points farther than max_range, metres (negative: unlimited), clear space up to there. With
        discretize, one ray goes to the centre of each cell that holds points. Without hits the
        points clear only.
        """
        points = np.ascontiguousarray(points, np.float32)
        self._make_room(len(points))
        if discretize:
            cells = self._cells[: len(points)]
            _cells_of_points(points, 1.0 / self._resolution, cells)
            return self._mark_cells(store, cells, origin, max_range, hits)
        outcome = np.zeros(2, np.int64)
        _cut_rays(points, origin, self._resolution, max_range, self._ends, outcome)
        self._cast(store, len(points), origin, hits)
        return ScanReport(len(points), int(outcome[0]), int(outcome[1]))

    def mark_depth(
        self,
        store: VoxelStore,
        depth: Float32Array,
        view: PixelRays,
        max_range: float,
        discretize: bool,
        min_range: float,
    ) -> ScanReport:
        """Mark the rays of a depth image, float32 (h, w) metres, whose pixels `view` describes."""
        self._make_room(depth.size)
        if not discretize:
            count = read_points(depth, view, min_range, math.inf, self._points)
            return self.mark(store, self._points[:count], view.origin, max_range, discretize)
        cells = self._cells[: depth.size]
        read_cells(depth, view, min_range, 1.0 / self._resolution, cells.reshape(depth.shape))
        report = self._mark_cells(store, cells, view.origin, max_range, True)
        # A pixel without a reading is no point.
        return ScanReport(report.points - report.not_finite, 0, report.outside)

    def _make_room(self, points: int) -> None:
        """Have scratch arrays for so many points."""
        if len(self._cells) < points:
            self._cells = np.empty(points, np.float64)
            self._points = np.empty((points, 3), np.float32)
            self._ends = _Ends(
                np.empty((points, 3), np.float32),
                np.empty(points, np.int64),
                np.empty(points, np.int64),
            )

    def _mark_cells(
        self,
        store: VoxelStore,
        cells: Float64Array,
        origin: Float32Array,
        max_range: float,
        hits: bool,
    ) -> ScanReport:
        """Mark one ray to each cell that holds points."""
        distinct = self._ends.cells
        while True:
            self._seen.fill(-1)
            count = _distinct_cells(cells, self._seen, distinct)
            if count >= 0:
                break
            self._seen = np.empty(2 * self._seen.size, np.int64)
        _rays_to_centers(distinct[:count], origin, self._resolution, max_range, self._ends)
        self._cast(store, count, origin, hits)
        return ScanReport(
            len(cells),
            int(np.count_nonzero(cells == NOT_A_POINT)),
            int(np.count_nonzero(cells == OFF_THE_MAP)),
        )

    def _cast(self, store: VoxelStore, count: int, origin: Float32Array, hits: bool) -> None:
        points, cells, hits_ = self._ends
        ends = _Ends(points[:count], cells[:count], hits_[:count])
        done = 0
        while (done := _walk_rays(store.arrays, origin, ends, self._resolution, done)) < count:
            store.grow()
        done = 0 if hits else count
        while (done := mark_hits(store.arrays, ends.hits, done)) < count:
            store.grow()


@kernel
def _cut_rays(
    points: Float32Array,
    origin: Float32Array,
    resolution: float,
    max_range: float,
    ends: _Ends,
    outcome: NDArray[np.int64],
) -> None:
    """Find where each point's ray ends: at the point, or at max_range (negative: unlimited).

    Counts in `outcome` the points that are not finite, and those that are off the map.
    """
    per_metre = 1.0 / resolution
    reach = np.float32(max_range)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        ends.cells[i] = ends.hits[i] = -1
        if x - x + (y - y) + (z - z) != 0:  # NaN or infinite
            outcome[0] += 1
            continue
        hit = True
        if max_range >= 0:
            distance = norm(x - origin[0], y - origin[1], z - origin[2])
            if not distance <= max_range:
                hit = False
                x, y, z = cut_ray((x, y, z), (origin[0], origin[1], origin[2]), reach)
        cell = cell_of(x, y, z, per_metre)
        if cell < 0:
            outcome[1] += 1
            continue
        ends.points[i, 0], ends.points[i, 1], ends.points[i, 2] = x, y, z
        ends.cells[i] = cell
        ends.hits[i] = cell if hit else -1


@kernel
def _walk_rays(
    store: Store, origin: Float32Array, ends: _Ends, resolution: float, start: int
) -> int:
    """Mark the cells of the rays from `start` on as free.

    Returns how many rays are done: fewer than there are when a pool is full.
    """
    done, missing = _walk(store, origin, ends, resolution, start)
    while missing >= 0 and allocate_marks(store, missing) >= 0:
        done, missing = _walk(store, origin, ends, resolution, done)
    return done


@kernel
def _walk(
    store: Store, origin: Float32Array, ends: _Ends, resolution: float, start: int
) -> tuple[int, int]:
    """Walk rays until one comes to a block without marks in this scan.

    Each goes from the origin's cell up to, not including, its end's. Returns how many rays are
    done, and the code of that block or -1.
    """
    marks, mark_rows = store.marks, store.mark_rows
    codes, slots = store.directory_codes, store.directory_slots
    points, cells = ends.points, ends.cells
    ox, oy, oz = origin[0], origin[1], origin[2]
    first = cell_of(ox, oy, oz, 1.0 / resolution)
    half = np.float64(np.float32(resolution * 0.5))
    row = np.int64(-1)
    corner = np.int64(-1)
    for i in range(start, cells.size):
        last = cells[i]
        if last < 0 or first == last:
            continue
        dx, dy, dz = points[i, 0] - ox, points[i, 1] - oy, points[i, 2] - oz
        length = np.float32(norm(dx, dy, dz))
        reach = np.float64(length)
        direction = dx / length, dy / length, dz / length
        step, border, spacing = start_ray(first, (ox, oy, oz), direction, resolution, half)
        cell = first
        while True:
            if (cell ^ corner) & ~INSIDE_BLOCK != 0:
                row = marked_row(codes, slots, mark_rows, block_of(cell))
                if row < 0:
                    return i, block_of(cell)
                corner = cell
            marks[row, index_in_block(cell)] = FREE
            cell, border, _, _ = advance(cell, step, border, spacing)
            # Rounding can make a ray miss its last cell; then its length ends it.
            if cell == last or min(min(border[0], border[1]), border[2]) > reach:
                break
    return cells.size, -1


@kernel
def _distinct_cells(
    cells: Float64Array, seen: NDArray[np.int64], distinct: NDArray[np.int64]
) -> int:
    """Write each cell once, in order of first appearance; negative ones are none.

    cells: packed keys as the doubles they fit in; seen: a hash table, all -1. Returns how many
    there are, or -1 when the table is too small.
    """
    mask = seen.size - 1
    previous = -1.0
    count = 0
    for i in range(cells.size):
        # Neighbouring points mostly share a cell.
        if cells[i] == previous:
            continue
        previous = cells[i]
        if previous < 0.0:
            continue
        cell = np.int64(previous)
        place = place_of(seen, cell)
        if seen[place] == cell:
            continue
        if 2 * count > mask:
            return -1
        seen[place] = cell
        distinct[count] = cell
        count += 1
    return count


@kernel
def _rays_to_centers(
    cells: NDArray[np.int64],
    origin: Float32Array,
    resolution: float,
    max_range: float,
    ends: _Ends,
) -> None:
    """Find where the rays to the centres of cells end (OctoMap: discretize)."""
    per_metre = 1.0 / resolution
    reach = np.float32(max_range)
    for i in range(cells.size):
        x = np.float32(center_of(cells[i] >> 32, resolution))
        y = np.float32(center_of((cells[i] >> 16) & 0xFFFF, resolution))
        z = np.float32(center_of(cells[i] & 0xFFFF, resolution))
        hit = True
        if max_range >= 0:
            distance = norm(x - origin[0], y - origin[1], z - origin[2])
            if not distance <= max_range:
                hit = False
                x, y, z = cut_ray((x, y, z), (origin[0], origin[1], origin[2]), reach)
        cell = cell_of(x, y, z, per_metre)
        ends.points[i, 0], ends.points[i, 1], ends.points[i, 2] = x, y, z
        ends.cells[i] = cell
        ends.hits[i] = cell if hit else -1


@kernel
def _cells_of_points(points: Float32Array, per_metre: float, cells: Float64Array) -> None:
    """Write the packed cells that hold points, OFF_THE_MAP or NOT_A_POINT."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        finite = x - x + (y - y) + (z - z) == 0
        cells[i] = packed_cell(x, y, z, per_metre) if finite else NOT_A_POINT
