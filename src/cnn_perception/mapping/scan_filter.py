"""From a scan to what enters the map: cropped, and with the ground told from obstacles."""

from __future__ import annotations

import numpy as np

from cnn_perception.mapping.crop import CropConfig, inside_crop
from cnn_perception.mapping.ground import GroundConfig, find_ground
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

__all__ = ["ScanFilter"]


class ScanFilter:
    """Puts scans into a Mapper as octomap_server does into its tree.

    Points outside the crop are ignored. With the ground filter, points on the ground clear space
    and mark nothing; it and the crop then work in the base frame, z up, its origin on the ground.
    """

    def __init__(self, mapper: Mapper, crop: CropConfig, ground: GroundConfig) -> None:
        self._mapper = mapper
        self.crop = crop
        self.ground = ground

    @property
    def needs_base(self) -> bool:
        """True if scans need their place in the base frame."""
        return self.ground.filter_ground_plane

    def integrate_depth(
        self,
        depth: Float32Array,
        intrinsics: CameraIntrinsics,
        map_from_sensor: RigidTransform,
        base_from_sensor: RigidTransform | None = None,
        stamp_ns: int | None = None,
    ) -> None:
        """Take in a depth image; see `Mapper.integrate_depth`."""
        if not self.needs_base and self._reaches_nowhere_outside(
            _reach(depth, intrinsics), map_from_sensor
        ):
            self._mapper.integrate_depth(depth, intrinsics, map_from_sensor, stamp_ns)
            return
        points = depth_to_points(depth, intrinsics, stride=self._mapper.config.depth_stride)
        self.integrate_cloud(points, map_from_sensor, base_from_sensor, stamp_ns)

    def integrate_cloud(
        self,
        points: Float32Array,
        map_from_sensor: RigidTransform,
        base_from_sensor: RigidTransform | None = None,
        stamp_ns: int | None = None,
    ) -> None:
        """Take in a cloud; see `Mapper.integrate_cloud`. base_from_sensor: if `needs_base`."""
        frame = map_from_sensor if base_from_sensor is None else base_from_sensor
        with np.errstate(invalid="ignore", over="ignore"):  # not finite: outside
            seen = frame.apply(points)
        inside = inside_crop(seen, self.crop)
        if not inside.all():
            points, seen = points[inside], seen[inside]
        clearing = None
        if self.needs_base:
            ground = find_ground(seen, self.ground)
            points, clearing = points[~ground], points[ground]
        self._mapper.integrate_cloud(points, map_from_sensor, clearing, stamp_ns)

    def _reaches_nowhere_outside(self, reach: float, map_from_sensor: RigidTransform) -> bool:
        """Say that the crop cannot cut anything, so that the image can go straight into the map."""
        low, high = self.crop.limits
        center = map_from_sensor.translation
        return bool(((center - reach > low) & (center + reach < high)).all())


def _reach(depth: Float32Array, intrinsics: CameraIntrinsics) -> float:
    """Return a bound on how far the readings of an image are from the camera, metres."""
    if depth.size == 0:
        return 0.0
    farthest = float(np.fmax.reduce(depth, axis=None))
    if not farthest < np.inf:
        usable = depth[(depth > 0) & (depth < np.inf)]
        farthest = float(usable.max()) if usable.size else 0.0
    x = max(intrinsics.cx, intrinsics.width - intrinsics.cx) / intrinsics.fx
    y = max(intrinsics.cy, intrinsics.height - intrinsics.cy) / intrinsics.fy
    return max(farthest, 0.0) * (1.0 + x * x + y * y) ** 0.5
