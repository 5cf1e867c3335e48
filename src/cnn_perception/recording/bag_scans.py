"""The depth images and clouds of a bag, placed by its transforms: what a mapper eats, offline."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cnn_perception.errors import BagError, MessageError, TransformError
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_depth,
    decode_header,
    decode_point_cloud,
    decode_transforms,
)
from cnn_perception.recording.bag import BagMessage, BagReader
from cnn_perception.recording.depth_scans import CloudScan, DepthScan, Scan
from cnn_perception.recording.streams import ScanStream
from cnn_perception.types import CameraIntrinsics, Header, RigidTransform

__all__ = ["BagScans"]

_TF, _TF_STATIC = "/tf", "/tf_static"
# How long, in recorded time, a scan is kept for its transform: as long as tf keeps those.
_PATIENCE_NS = 10_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A depth image (with its camera) or cloud message, and when it was recorded."""

    header: Header
    message: Any
    intrinsics: CameraIntrinsics | None
    recorded_ns: int

    def placed(self, pose: RigidTransform) -> Scan:
        if self.intrinsics is None:
            return CloudScan(decode_point_cloud(self.message), pose)
        return DepthScan(decode_depth(self.message), self.intrinsics, pose)


class BagScans:
    """The depth images and clouds of a bag in recorded order, with poses from its /tf, /tf_static.

    As in a live node, a scan waits for its transform, and one that cannot be placed is skipped and
    counted in `skipped` by reason; here it waits for later messages of the bag. Raises BagError for
    a bag without /tf and /tf_static and for topics that it does not have.
    """

    def __init__(self, bag: BagReader, streams: Sequence[ScanStream], map_frame: str) -> None:
        self._bag = bag
        self._info_of = {stream.topic: stream.camera_info for stream in streams}
        self._map_frame = map_frame.lstrip("/")
        present = {topic.name: topic.count for topic in bag.topics}
        self._tf_topics = [topic for topic in (_TF, _TF_STATIC) if topic in present]
        if not self._tf_topics:
            raise BagError(f"{bag.path} has neither /tf nor /tf_static: record the robot's poses")
        self._count = sum(present.get(topic, 0) for topic in self._info_of)
        self.skipped: Counter[str] = Counter()
        self.last_error = ""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Scan]:
        buffer = TransformBuffer()
        cameras: dict[str, CameraIntrinsics] = {}
        waiting: deque[_Waiting] = deque()
        infos = {topic for topic in self._info_of.values() if topic}
        for item in self._bag.messages([*self._info_of, *infos, *self._tf_topics]):
            try:
                if item.topic in infos:
                    cameras[item.topic] = decode_camera_info(item.message)
                elif item.topic in self._tf_topics:
                    for edge in decode_transforms(item.message, []):
                        buffer.add(edge, static=item.topic == _TF_STATIC)
                else:
                    waiting.append(self._arrived(item, cameras))
            except MessageError as error:
                self._skip(error.reason, str(error))
            yield from self._placed(waiting, buffer, item.stamp_ns)
        yield from self._placed(waiting, buffer, None)

    def _arrived(self, item: BagMessage, cameras: dict[str, CameraIntrinsics]) -> _Waiting:
        info = self._info_of[item.topic]
        if info and info not in cameras:
            raise MessageError("no_match", f"no camera_info on {info} before the image")
        header = decode_header(item.message.header)
        return _Waiting(header, item.message, cameras.get(info), item.stamp_ns)

    def _placed(
        self, waiting: deque[_Waiting], buffer: TransformBuffer, now_ns: int | None
    ) -> Iterator[Scan]:
        """Yield the scans at the head of the queue that can be placed; now_ns None: the end."""
        while waiting:
            scan = waiting[0]
            header = scan.header
            try:
                placed = scan.placed(
                    buffer.lookup(self._map_frame, header.frame_id, header.stamp_ns)
                )
            except TransformError as error:
                patient = now_ns is not None and now_ns - scan.recorded_ns < _PATIENCE_NS
                if error.retriable and patient:
                    return
                self._skip("no_transform", str(error))
            except MessageError as error:
                self._skip(error.reason, str(error))
            else:
                yield placed
            waiting.popleft()

    def _skip(self, reason: str, text: str) -> None:
        self.skipped[reason] += 1
        self.last_error = text
