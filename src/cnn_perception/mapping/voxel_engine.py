"""The mapping engine `voxel`: OctoMap's map bit for bit, from blocks instead of a tree."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.mapping import rays, voxel_kernels
from cnn_perception.mapping.depth_kernels import read_cells, read_points
from cnn_perception.mapping.engine import ScanReport, SensorModel, check_origin
from cnn_perception.mapping.leaves import KEY_ORIGIN, Leaves
from cnn_perception.mapping.projection import check_size, pixel_rays
from cnn_perception.mapping.store_codec import StoreCodec
from cnn_perception.mapping.voxel_store import VoxelStore
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Float64Array,
    Int64Array,
    RigidTransform,
)

__all__ = ["VoxelEngine"]


class VoxelEngine:
    """A VoxelStore behind the MapEngine protocol.

    A scan is taken in in three steps: its rays mark cells as free, its hits mark cells as occupied,
    and each marked cell is updated once. The kernels run without Python's interpreter lock.
    """

    def __init__(self, config: MapperConfig) -> None:
        self._config = config
        self._resolution = config.resolution
        self._model = SensorModel.from_config(config)
        self.store = VoxelStore()
        self._codec = StoreCodec(self.store)
        self.before_merge: Callable[[VoxelStore], None] | None = None
        self._seen = np.empty(1 << 14, np.int64)
        self._cells = np.empty(0, np.float64)
        self._make_room(1)

    def integrate(
        self,
        points: Float32Array,
        origin: Float32Array,
        max_range: float,
        discretize: bool,
        clearing: Float32Array | None = None,
    ) -> ScanReport:
        """See MapEngine."""
        check_origin(origin, self._resolution)
        report = ScanReport(0, 0, 0)
        for cloud in (clearing, points):
            if cloud is None:
                continue
            cloud = np.ascontiguousarray(cloud, np.float32)
            self._make_room(len(cloud))
            if discretize:
                cells = self._cells[: len(cloud)]
                rays.cells_of_points(cloud, 1.0 / self._resolution, cells)
                seen, count = self._cast_to_cells(cells, origin, max_range)
                report += seen
            else:
                outcome, count = np.zeros(2, np.int64), len(cloud)
                rays.cut_rays(cloud, origin, self._resolution, max_range, self._ends, outcome)
                report += ScanReport(count, int(outcome[0]), int(outcome[1]))
            self._walk(origin, count)
        self._mark_hits(count)
        self._merge()
        return report

    def integrate_depth(
        self,
        depth: Float32Array,
        intrinsics: CameraIntrinsics,
        map_from_camera: RigidTransform,
        *,
        max_range: float,
        discretize: bool,
        min_range: float = 0.0,
        stride: int = 1,
    ) -> ScanReport:
        """See MapEngine."""
        check_size(depth, intrinsics)
        view = pixel_rays(intrinsics, map_from_camera, stride)
        check_origin(view.origin, self._resolution)
        depth = np.ascontiguousarray(
            depth[stride // 2 :: stride, stride // 2 :: stride], np.float32
        )
        self._make_room(depth.size)
        if not discretize:
            points = self._points[: read_points(depth, view, min_range, self._points)]
            return self.integrate(points, view.origin, max_range, discretize)
        cells = self._cells[: depth.size]
        read_cells(depth, view, min_range, 1.0 / self._resolution, cells.reshape(depth.shape))
        report, count = self._cast_to_cells(cells, view.origin, max_range)
        self._walk(view.origin, count)
        self._mark_hits(count)
        self._merge()
        # A pixel without a reading is no point.
        return ScanReport(report.points - report.not_finite, 0, report.outside)

    def leaves(self) -> Leaves:
        """See MapEngine."""
        return self._codec.leaves()

    def encode(self, binary: bool) -> bytes:
        """See MapEngine."""
        return self._codec.binary() if binary else self._codec.full()

    def restore(self, leaves: Leaves) -> None:
        """See MapEngine."""
        self.store.restore(leaves)

    def clear(self) -> None:
        """See MapEngine."""
        self.store.clear()

    def fill_box(self, low: Int64Array, high: Int64Array, log_odds: float) -> None:
        """See MapEngine."""
        self.store.fill_box(low, high, log_odds)

    def keep_box(self, low: Int64Array, high: Int64Array) -> None:
        """See MapEngine."""
        self.store.keep_box(low, high)

    def retune(self, config: MapperConfig) -> None:
        """See MapEngine."""
        self._model = SensorModel.from_config(config)

    def memory_bytes(self) -> int:
        """See MapEngine."""
        return self.store.memory_bytes()

    def warm_up(self) -> None:
        """See MapEngine."""
        # Kernels are compiled by what they are called with: a map of two cells asks for all.
        engine = VoxelEngine(self._config)
        camera = CameraIntrinsics(2, 2, 1.0, 1.0, 0.5, 0.5)
        depth = np.full((2, 2), 2 * self._resolution, np.float32)
        here, origin = RigidTransform.identity(), np.zeros(3, np.float32)
        for discretize in (False, True):
            engine.integrate_depth(
                depth, camera, here, max_range=-1.0, discretize=discretize, min_range=1e-3
            )
            engine.integrate(np.ones((1, 3), np.float32), origin, 0.0, discretize)
        for binary in (False, True):
            engine.encode(binary)
        engine.restore(engine.leaves())
        box = np.full(3, KEY_ORIGIN)
        engine.fill_box(box, box, math.nan)
        engine.keep_box(box, box)
        engine.store.lookup(box[None, :])

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

    def _cast_to_cells(
        self, cells: Float64Array, origin: Float32Array, max_range: float
    ) -> tuple[ScanReport, int]:
        """Find the ends of one ray for each cell that holds points, and how many they are."""
        distinct = self._ends.cells
        while True:
            self._seen.fill(-1)
            count = rays.distinct_cells(cells, self._seen, distinct)
            if count >= 0:
                break
            self._seen = np.empty(2 * self._seen.size, np.int64)
        rays.rays_to_centers(distinct[:count], origin, self._resolution, max_range, self._ends)
        outcome = np.zeros(2, np.int64)
        rays.count_unusable(cells, outcome)
        return ScanReport(len(cells), int(outcome[0]), int(outcome[1])), count

    def _walk(self, origin: Float32Array, count: int) -> None:
        done = 0
        while True:
            done = rays.walk_rays(
                self.store.arrays, origin, self._ends, count, self._resolution, done
            )
            if done == count:
                return
            self.store.grow()

    def _mark_hits(self, count: int) -> None:
        done = 0
        while (done := rays.mark_hits(self.store.arrays, self._ends, count, done)) < count:
            self.store.grow()

    def _merge(self) -> None:
        if self.before_merge is not None:
            self.before_merge(self.store)
        model = self._model
        while not voxel_kernels.merge(
            self.store.arrays, model.hit, model.miss, model.lowest, model.highest
        ):
            self.store.grow()
