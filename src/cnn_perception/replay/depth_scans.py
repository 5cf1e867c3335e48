"""Depth images with camera and pose, from a bag or a folder: what a mapper eats, offline."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_perception.errors import BagError, MessageError, TransformError
from cnn_perception.mapping.leveling import estimate_up, level
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_depth,
    decode_header,
    decode_transforms,
)
from cnn_perception.replay.bag import BagReader
from cnn_perception.replay.rgbd_folder import RgbdFolder
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Float64Array,
    Header,
    RigidTransform,
)

__all__ = ["BagScans", "DepthScan", "FolderScans"]

_TF, _TF_STATIC = "/tf", "/tf_static"
# From optical axes (x right, y down, z forward) to REP-103's (x forward, y left, z up).
_FROM_OPTICAL = RigidTransform(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3)
)
_LEVELING_FRAMES, _LEVELING_STRIDE = 10, 8
# How long, in recorded time, an image is kept for its transform: as long as tf keeps those.
_PATIENCE_NS = 10_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A depth image message and when it was recorded."""

    header: Header
    message: Any
    intrinsics: CameraIntrinsics
    recorded_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class DepthScan:
    """One depth image, float32 (H, W) metres with NaN for none, its camera and where that was."""

    depth: Float32Array
    intrinsics: CameraIntrinsics
    map_from_sensor: RigidTransform


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
        for index, frame in enumerate(self._folder):
            if index % step == 0:
                points = depth_to_points(
                    frame.depth, self._folder.intrinsics, stride=_LEVELING_STRIDE
                )
                clouds.append((_FROM_OPTICAL @ frame.world_from_camera).apply(points))
        points = np.concatenate([np.zeros((0, 3), np.float32), *clouds])
        return estimate_up(points, np.array([0.0, 0.0, 1.0]))


class BagScans:
    """The depth images of a bag, with poses from its /tf and /tf_static.

    As in a live node, an image waits for its transform, and one that cannot be placed is skipped
    and counted in `skipped` by reason; here it waits for later messages of the bag. Raises
    BagError for a bag without /tf and /tf_static.
    """

    def __init__(
        self, bag: BagReader, depth_topic: str, camera_info_topic: str, map_frame: str
    ) -> None:
        self._bag = bag
        self._depth_topic, self._info_topic = depth_topic, camera_info_topic
        self._map_frame = map_frame.lstrip("/")
        present = {topic.name: topic.count for topic in bag.topics}
        self._tf_topics = [topic for topic in (_TF, _TF_STATIC) if topic in present]
        if not self._tf_topics:
            raise BagError(f"{bag.path} has neither /tf nor /tf_static: record the robot's poses")
        self._count = present.get(depth_topic, 0)
        self.skipped: Counter[str] = Counter()
        self.last_error = ""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[DepthScan]:
        buffer = TransformBuffer()
        intrinsics: CameraIntrinsics | None = None
        waiting: deque[_Waiting] = deque()
        topics = [self._depth_topic, self._info_topic, *self._tf_topics]
        for item in self._bag.messages(topics):
            try:
                if item.topic == self._info_topic:
                    intrinsics = decode_camera_info(item.message)
                elif item.topic in self._tf_topics:
                    for edge in decode_transforms(item.message, []):
                        buffer.add(edge, static=item.topic == _TF_STATIC)
                elif intrinsics is None:
                    self._skip("no_camera_info", f"no message on {self._info_topic} before it")
                else:
                    header = decode_header(item.message.header)
                    waiting.append(_Waiting(header, item.message, intrinsics, item.stamp_ns))
            except MessageError as error:
                self._skip(error.reason, str(error))
            yield from self._placed(waiting, buffer, item.stamp_ns)
        yield from self._placed(waiting, buffer, None)

    def _placed(
        self, waiting: deque[_Waiting], buffer: TransformBuffer, now_ns: int | None
    ) -> Iterator[DepthScan]:
        """Yield the images at the head of the queue that can be placed; now_ns None: the end."""
        while waiting:
            image = waiting[0]
            header = image.header
            try:
                pose = buffer.lookup(self._map_frame, header.frame_id, header.stamp_ns)
                depth = decode_depth(image.message)
            except TransformError as error:
                patient = now_ns is not None and now_ns - image.recorded_ns < _PATIENCE_NS
                if error.retriable and patient:
                    return
                self._skip("no_transform", str(error))
            except MessageError as error:
                self._skip(error.reason, str(error))
            else:
                yield DepthScan(depth, image.intrinsics, pose)
            waiting.popleft()

    def _skip(self, reason: str, text: str) -> None:
        self.skipped[reason] += 1
        self.last_error = text
