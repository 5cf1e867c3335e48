"""Clouds into the marks of a scan, ray by ray."""

from __future__ import annotations

import numpy as np

from cnn_perception.mapping.engine import ScanReport
from cnn_perception.mapping.projection import PixelRays
from cnn_perception.mapping.voxels import rays
from cnn_perception.mapping.voxels.depth_kernels import read_cells, read_points
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import Float32Array, Float64Array

__all__ = ["RayCaster"]


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
        """Mark the rays from the origin, float32 (3,), to points, float32 (N, 3).

        With discretize, one ray goes to the centre of each cell that holds points. Without hits the
        points clear only. See MapEngine.integrate for the rest.
        """
        points = np.ascontiguousarray(points, np.float32)
        self._make_room(len(points))
        if discretize:
            cells = self._cells[: len(points)]
            rays.cells_of_points(points, 1.0 / self._resolution, cells)
            return self._mark_cells(store, cells, origin, max_range, hits)
        outcome = np.zeros(2, np.int64)
        rays.cut_rays(points, origin, self._resolution, max_range, self._ends, outcome)
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
            points = self._points[: read_points(depth, view, min_range, self._points)]
            return self.mark(store, points, view.origin, max_range, discretize)
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
            self._ends = rays.Ends(
                np.empty((points, 3), np.float32),
                np.empty(points, np.int64),
                np.empty(points, np.uint8),
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
            count = rays.distinct_cells(cells, self._seen, distinct)
            if count >= 0:
                break
            self._seen = np.empty(2 * self._seen.size, np.int64)
        rays.rays_to_centers(distinct[:count], origin, self._resolution, max_range, self._ends)
        self._cast(store, count, origin, hits)
        outcome = np.zeros(2, np.int64)
        rays.count_unusable(cells, outcome)
        return ScanReport(len(cells), int(outcome[0]), int(outcome[1]))

    def _cast(self, store: VoxelStore, count: int, origin: Float32Array, hits: bool) -> None:
        done = 0
        while True:
            done = rays.walk_rays(store.arrays, origin, self._ends, count, self._resolution, done)
            if done == count:
                break
            store.grow()
        done = 0 if hits else count
        while (done := rays.mark_hits(store.arrays, self._ends, count, done)) < count:
            store.grow()
