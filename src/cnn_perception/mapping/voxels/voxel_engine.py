"""The mapping engine `voxel`: OctoMap's map bit for bit, from blocks instead of a tree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.engine import ScanReport, SensorModel, check_origin
from cnn_perception.mapping.leaves import KEY_ORIGIN, Leaves
from cnn_perception.mapping.projection import check_size, pixel_rays
from cnn_perception.mapping.sweep.depth_sweep import DepthSweep
from cnn_perception.mapping.voxels import voxel_kernels
from cnn_perception.mapping.voxels.ray_caster import RayCaster
from cnn_perception.mapping.voxels.store_codec import StoreCodec
from cnn_perception.mapping.voxels.voxel_kernels import FREE_ROWS
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Int64Array,
    RigidTransform,
)

__all__ = ["VoxelEngine"]


class VoxelEngine:
    """A VoxelStore behind the MapEngine protocol.

    A scan marks the cells that its rays pass as free and those where they end as occupied; then
    each marked cell is updated once. A cloud's rays are walked one by one. Of a depth image, most
    cells are told without walking any. The kernels run without Python's interpreter lock.
    """

    def __init__(self, config: MapperConfig) -> None:
        self._config = config
        self._resolution = config.resolution
        self._model = SensorModel.from_config(config)
        self.store = VoxelStore()
        self._codec = StoreCodec(self.store)
        self.before_merge: Callable[[VoxelStore], None] | None = None
        self._caster, self._sweep = RayCaster(config.resolution), DepthSweep(config.resolution)

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
        with self._scan():
            report = ScanReport(0, 0, 0)
            if clearing is not None:
                report = self._caster.mark(
                    self.store, clearing, origin, max_range, discretize, hits=False
                )
            return report + self._caster.mark(self.store, points, origin, max_range, discretize)

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
        check_origin(map_from_camera.translation.astype(np.float32), self._resolution)
        report = None
        with self._scan():
            if not discretize:
                report = self._sweep.mark(
                    self.store, depth, intrinsics, map_from_camera, max_range, min_range, stride
                )
            if report is None:
                chosen = depth[stride // 2 :: stride, stride // 2 :: stride]
                report = self._caster.mark_depth(
                    self.store,
                    np.ascontiguousarray(chosen, np.float32),
                    pixel_rays(intrinsics, map_from_camera, stride),
                    max_range,
                    discretize,
                    min_range,
                )
        return report

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
        self._sweep.warm_up()
        self._page_in()
        for binary in (False, True):
            engine.encode(binary)
        engine.restore(engine.leaves())
        box = np.full(3, KEY_ORIGIN)
        engine.fill_box(box, box, math.nan)
        engine.keep_box(box, box)
        engine.store.lookup(box[None, :])

    def _page_in(self) -> None:
        """Map an image of a usual size into nothing: the first real one finds memory in place."""
        camera = CameraIntrinsics(640, 480, 500.0, 500.0, 319.5, 239.5)
        cells = np.linspace(20, 60, camera.width * camera.height, dtype=np.float32)
        depth = cells.reshape(camera.height, camera.width) * np.float32(self._resolution)
        here, store = RigidTransform.identity(), VoxelStore()
        self._sweep.mark(store, depth, camera, here, -1.0)
        self._caster.mark_depth(store, depth, pixel_rays(camera, here), -1.0, True, 0.0)
        arrays = self.store.arrays
        arrays.marks.fill(0)
        arrays.values[arrays.free_rows[: arrays.counts[FREE_ROWS]]] = np.nan

    @contextmanager
    def _scan(self) -> Iterator[None]:
        """Update the cells that are marked inside, each once; none when that fails."""
        try:
            yield
        except BaseException:
            self.store.forget_marks()
            raise
        if self.before_merge is not None:
            self.before_merge(self.store)
        model = self._model
        while not voxel_kernels.merge(
            self.store.arrays, model.hit, model.miss, model.lowest, model.highest
        ):
            self.store.grow()
