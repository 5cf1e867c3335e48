"""From a scan to what enters the map: cropped, and with the ground told from obstacles."""

from __future__ import annotations

import numpy as np

from cnn_perception.mapping.crop import CropConfig, inside_crop
from cnn_perception.mapping.ground import GroundConfig, find_ground
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.projection import depth_to_points, stretch
from cnn_perception.mapping.scans import CloudScan, DepthScan, Scan
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

__all__ = ["ScanFilter"]


class ScanFilter:
    """Puts scans into an OccupancyMap as octomap_server does into its tree.

    Points outside the crop are ignored. With the ground filter, points on the ground clear space
    and mark nothing; it and the crop then work in the base frame, z up, its origin on the ground.
    """

    def __init__(self, mapper: OccupancyMap, crop: CropConfig, ground: GroundConfig) -> None:
        self._mapper = mapper
        self.crop = crop
        self.ground = ground
        self._newest_ns = 0

    @property
    def needs_base(self) -> bool:
        """True if scans need their place in the base frame."""
        return self.ground.filter_ground_plane

    def integrate(
        self, scan: Scan, stamp_ns: int, base_from_sensor: RigidTransform | None = None
    ) -> None:
        """Take in a scan; raises as `OccupancyMap.integrate` does.

        stamp_ns: when it was taken; base_from_sensor: its place there, if `needs_base`.
        """
        if isinstance(scan, CloudScan):
            self._integrate(scan.points, scan.map_from_sensor, base_from_sensor, stamp_ns)
        elif self._takes_whole(scan):
            self._mapper.integrate_depth(
                scan.depth, scan.intrinsics, scan.map_from_sensor, stamp_ns
            )
        else:
            stride = self._mapper.config.depth_stride
            points = depth_to_points(scan.depth, scan.intrinsics, stride=stride)
            self._integrate(points, scan.map_from_sensor, base_from_sensor, stamp_ns)
        self._newest_ns = max(self._newest_ns, stamp_ns)

    def rewind(self, stamp_ns: int) -> bool:
        """Say whether something later than a stamp is in the map, to which time went back.

        The clock and every input show the same jump: what was mapped since is not later.
        """
        later = self._newest_ns - stamp_ns > BACKWARD_JUMP_NS
        if later:
            self._newest_ns = 0
        return later

    def _integrate(
        self,
        points: Float32Array,
        map_from_sensor: RigidTransform,
        base_from_sensor: RigidTransform | None,
        stamp_ns: int,
    ) -> None:
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

    def _takes_whole(self, scan: DepthScan) -> bool:
        """Say that nothing can be cut from an image, so that it can go straight into the map."""
        if self.needs_base:
            return False
        low, high = self.crop.limits
        center, reach = scan.map_from_sensor.translation, _reach(scan.depth, scan.intrinsics)
        return bool(((center - reach > low) & (center + reach < high)).all())


def _reach(depth: Float32Array, intrinsics: CameraIntrinsics) -> float:
    """Return a bound on how far the readings of an image are from the camera, metres."""
    if depth.size == 0:
        return 0.0
    farthest = float(np.fmax.reduce(depth, axis=None))
    if not farthest < np.inf:
        usable = depth[(depth > 0) & (depth < np.inf)]
        farthest = float(usable.max()) if usable.size else 0.0
    return max(farthest, 0.0) * stretch(intrinsics)
