"""What an engine that only takes points and gives leaves has in common with others of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from cnn_perception.mapping.engine import ScanReport
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.leaves import Leaves, fill_box, keep_box
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.types import CameraIntrinsics, Float32Array, Int64Array, RigidTransform

__all__ = ["PlainEngine"]


class PlainEngine(ABC):
    """Depth images by way of points, boxes and streams by way of leaves; see MapEngine."""

    @abstractmethod
    def integrate(
        self,
        points: Float32Array,
        origin: Float32Array,
        max_range: float,
        discretize: bool,
        clearing: Float32Array | None = None,
    ) -> ScanReport:
        """See MapEngine."""

    @abstractmethod
    def leaves(self) -> Leaves:
        """See MapEngine."""

    @abstractmethod
    def restore(self, leaves: Leaves) -> None:
        """See MapEngine."""

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
        points = depth_to_points(
            depth, intrinsics, min_range, stride=stride, target_from_camera=map_from_camera
        )
        origin = map_from_camera.translation.astype(np.float32)
        return self.integrate(points, origin, max_range, discretize)

    def encode(self, binary: bool) -> bytes:
        """See MapEngine."""
        leaves = self.leaves()
        return octomap_codec.encode_binary(leaves) if binary else octomap_codec.encode_full(leaves)

    def fill_box(self, low: Int64Array, high: Int64Array, log_odds: float) -> None:
        """See MapEngine."""
        self.restore(fill_box(self.leaves(), low, high, log_odds))

    def keep_box(self, low: Int64Array, high: Int64Array) -> None:
        """See MapEngine."""
        self.restore(keep_box(self.leaves(), low, high))
