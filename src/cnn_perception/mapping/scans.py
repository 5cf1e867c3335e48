"""Scans to be mapped: depth images with camera and pose, clouds with pose."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.mapping.engine import ScanReport
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

__all__ = ["CloudScan", "DepthScan", "Scan"]


@dataclass(frozen=True, slots=True, eq=False)
class DepthScan:
    """One depth image, float32 (H, W) metres with NaN for none, its camera and where that was."""

    depth: Float32Array
    intrinsics: CameraIntrinsics
    map_from_sensor: RigidTransform

    def into(self, mapper: Mapper) -> ScanReport:
        """Take it into a map; raises as `Mapper.integrate_depth`."""
        return mapper.integrate_depth(self.depth, self.intrinsics, self.map_from_sensor)


@dataclass(frozen=True, slots=True, eq=False)
class CloudScan:
    """One point cloud, float32 (N, 3) metres in the sensor's frame, and where that was."""

    points: Float32Array
    map_from_sensor: RigidTransform

    def into(self, mapper: Mapper) -> ScanReport:
        """Take it into a map; raises as `Mapper.integrate_cloud`."""
        return mapper.integrate_cloud(self.points, self.map_from_sensor)


Scan = DepthScan | CloudScan
