"""The depth images of an RGB-D folder as scans to be mapped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from cnn_perception.mapping.leveling import estimate_up, level
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.recording.rgbd_folder import RgbdFolder
from cnn_perception.types import Float64Array, RigidTransform

__all__ = ["FolderScans"]

# From optical axes (x right, y down, z forward) to REP-103's (x forward, y left, z up).
_FROM_OPTICAL = RigidTransform(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3)
)
_LEVELING_FRAMES, _LEVELING_STRIDE = 10, 8


class FolderScans:
    """The frames of an RGB-D folder, in a map with z up.

    The poses of such folders are relative to some first camera, whose axes are optical. `leveled`
    finds the vertical from the horizontal surfaces seen; otherwise the first camera's y axis is
    taken for it.
    """

    def __init__(self, folder: RgbdFolder, leveled: bool = True) -> None:
        self._folder = folder
        self.skipped: Counter[str] = Counter()
        self.map_from_world = _FROM_OPTICAL
        if leveled:
            self.map_from_world = level(self._up()) @ _FROM_OPTICAL

    def __len__(self) -> int:
        return len(self._folder)

    def __iter__(self) -> Iterator[DepthScan]:
        for frame in self._folder:
            pose = self.map_from_world @ frame.world_from_camera
            yield DepthScan(frame.depth, self._folder.intrinsics, pose)

    def _up(self) -> Float64Array:
        step = max(1, len(self._folder) // _LEVELING_FRAMES)
        clouds = []
        for frame in self._folder.frames(every=step):
            points = depth_to_points(frame.depth, self._folder.intrinsics, stride=_LEVELING_STRIDE)
            clouds.append((_FROM_OPTICAL @ frame.world_from_camera).apply(points))
        points = np.concatenate([np.zeros((0, 3), np.float32), *clouds])
        return estimate_up(points, np.array([0.0, 0.0, 1.0]))
