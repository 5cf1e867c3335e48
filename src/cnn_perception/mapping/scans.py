"""Scans to be mapped: depth images with camera and pose, clouds with pose; what became of them."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

__all__ = ["CloudScan", "DepthScan", "Scan", "ScanReport"]


@dataclass(frozen=True, slots=True, eq=False)
class DepthScan:
    """One depth image, float32 (H, W) metres with NaN for none, its camera and where that was."""

    depth: Float32Array
    intrinsics: CameraIntrinsics
    map_from_sensor: RigidTransform


@dataclass(frozen=True, slots=True, eq=False)
class CloudScan:
    """One point cloud, float32 (N, 3) metres in the sensor's frame, and where that was."""

    points: Float32Array
    map_from_sensor: RigidTransform


Scan = DepthScan | CloudScan


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What became of the points of one scan: how many came, and how many could not be used.

    not_finite: NaN or infinite; outside: beyond the 65536 cells that a map spans on each axis.
    """

    points: int = 0
    not_finite: int = 0
    outside: int = 0

    @property
    def used(self) -> int:
        """How many points went into the map."""
        return self.points - self.not_finite - self.outside

    def __add__(self, other: ScanReport) -> ScanReport:
        return ScanReport(
            self.points + other.points,
            self.not_finite + other.not_finite,
            self.outside + other.outside,
        )
