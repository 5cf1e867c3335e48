"""The mapping engine `voxel`: OctoMap's map bit for bit, from blocks instead of a tree."""

from __future__ import annotations

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.mapping import rays, voxel_kernels
from cnn_perception.mapping.depth_kernels import read_points
from cnn_perception.mapping.engine import ScanReport, SensorModel, check_origin
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.projection import check_size, pixel_rays
from cnn_perception.mapping.voxel_store import VoxelStore
from cnn_perception.types import CameraIntrinsics, Float32Array, Int64Array, RigidTransform

__all__ = ["VoxelEngine"]


class VoxelEngine:
    """A VoxelStore behind the MapEngine protocol.

    A scan is taken in in three steps: its rays mark cells as free, its hits mark cells as occupied,
    and each marked cell is updated once. The kernels run without Python's interpreter lock.
    """

    def __init__(self, config: MapperConfig) -> None:
        self._resolution = config.resolution
        self._model = SensorModel.from_config(config)
        self.store = VoxelStore()
        self._ends = _make_ends(0)
        self._points = np.empty((0, 3), np.float32)
        self._seen = np.empty(1 << 14, np.int64)

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
        points = np.ascontiguousarray(points, np.float32)
        report = ScanReport(0, 0, 0)
        if clearing is not None and len(clearing):
            clearing = np.ascontiguousarray(clearing, np.float32)
            report = self._cast(clearing, origin, max_range, discretize)[0]
        hits, count = self._cast(points, origin, max_range, discretize)
        self._mark_hits(count)
        self._merge()
        return report + hits

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
        if len(self._points) < depth.size:
            self._points = np.empty((depth.size, 3), np.float32)
        view = pixel_rays(intrinsics, map_from_camera, stride)
        depth = np.ascontiguousarray(depth, np.float32)
        count = read_points(depth, view, min_range, stride, self._points)
        return self.integrate(self._points[:count], view.origin, max_range, discretize)

    def leaves(self) -> Leaves:
        """See MapEngine."""
        return self.store.leaves()

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

    def _cast(
        self, points: Float32Array, origin: Float32Array, max_range: float, discretize: bool
    ) -> tuple[ScanReport, int]:
        """Mark the cells that rays pass; keep their ends, and return how many there are."""
        count = len(points)
        if len(self._ends.kinds) < count:
            self._ends = _make_ends(count)
        outcome = np.zeros(3, np.int64)
        if discretize:
            while True:
                self._seen.fill(-1)
                if rays.one_ray_per_cell(
                    points, origin, self._resolution, max_range, self._ends, self._seen, outcome
                ):
                    break
                self._seen = np.empty(2 * self._seen.size, np.int64)
                outcome[:] = 0
            ends = int(outcome[2])
        else:
            rays.cut_rays(points, origin, self._resolution, max_range, self._ends, outcome)
            ends = count
        done = 0
        while True:
            done = rays.walk_rays(
                self.store.arrays, origin, self._ends, ends, self._resolution, done
            )
            if done == ends:
                return ScanReport(count, int(outcome[0]), int(outcome[1])), ends
            self.store.grow()

    def _mark_hits(self, count: int) -> None:
        done = 0
        while (done := rays.mark_hits(self.store.arrays, self._ends, count, done)) < count:
            self.store.grow()

    def _merge(self) -> None:
        model = self._model
        while not voxel_kernels.merge(
            self.store.arrays, model.hit, model.miss, model.lowest, model.highest
        ):
            self.store.grow()


def _make_ends(count: int) -> rays.Ends:
    return rays.Ends(
        np.empty((count, 3), np.float32), np.empty(count, np.int64), np.empty(count, np.uint8)
    )
