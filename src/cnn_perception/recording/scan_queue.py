"""Depth images and clouds that wait for their transform and their camera_info, in recorded time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnn_perception.errors import MessageError, PerceptionError, TransformError
from cnn_perception.mapping.scans import CloudScan, DepthScan, Scan
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_depth,
    decode_header,
    decode_point_cloud,
)
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS, REWIND_SLACK_NS, stamp_to_ns
from cnn_perception.recording.bag import BagMessage
from cnn_perception.recording.streams import ScanStream
from cnn_perception.types import Header, RigidTransform

__all__ = ["TF", "TF_STATIC", "QueuedScan", "ScanQueue"]

TF, TF_STATIC = "/tf", "/tf_static"

_INFOS = 100
"""Calibrations that are remembered of each topic: more than a second of them."""


@dataclass(frozen=True, slots=True, eq=False)
class QueuedScan:
    """A depth image or cloud that has left the queue: placed, or lost.

    item: the message; scan: what it says and where its sensor was, None if it is lost;
    base_from_sensor: if that was asked for; error: why it is lost; seconds: that decoding took.
    """

    item: BagMessage
    header: Header
    scan: Scan | None = None
    base_from_sensor: RigidTransform | None = None
    error: PerceptionError | None = None
    seconds: float = 0.0


class ScanQueue:
    """Scans in recorded order, each of which leaves when all it needs is there.

    As in a live node, a scan waits for its transform, interpolated at its stamp, and a depth image
    for its camera_info: the one of its own stamp, or the nearest once a later one is there. Here
    they wait `patience_ns` of recorded time. base_frame: a frame in which the sensor's place is
    wanted as well. infos: how many messages each camera_info topic has in all, where that is known.
    """

    def __init__(
        self,
        streams: Sequence[ScanStream],
        map_frame: str,
        patience_ns: int,
        *,
        base_frame: str | None = None,
        infos: Mapping[str, int] | None = None,
    ) -> None:
        self._info_of = {stream.topic: stream.camera_info for stream in streams}
        self._infos: dict[str, deque[tuple[int, Any]]] = {
            topic: deque(maxlen=_INFOS) for topic in self._info_of.values() if topic
        }
        self._infos_left = Counter(dict(infos or {}))
        self._infos_known = infos is not None
        self._map_frame = map_frame.lstrip("/")
        self._base_frame = base_frame
        self._patience_ns = patience_ns
        self._buffer = TransformBuffer(jump_ns=BACKWARD_JUMP_NS)
        self._waiting: deque[tuple[BagMessage, Header]] = deque()
        self.refused_transforms = 0

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics whose messages `take` wants."""
        return tuple(dict.fromkeys((*self._info_of, *self._infos, TF, TF_STATIC)))

    def take(self, item: BagMessage) -> Iterator[QueuedScan]:
        """Take the next message; yields the scans that leave the queue now."""
        yield from self._overdue(item.stamp_ns)
        if item.topic in self._infos:
            stamp_ns = stamp_to_ns(item.message.header.stamp)
            self._infos[item.topic].append((stamp_ns, item.message))
            self._infos_left[item.topic] -= 1
        elif item.topic in (TF, TF_STATIC):
            refused = self._buffer.learn(item.message, item.topic == TF_STATIC)
            self.refused_transforms += len(refused)
        elif item.topic in self._info_of:
            self._waiting.append((item, decode_header(item.message.header)))
        yield from self._leaving(item.stamp_ns)

    def finish(self) -> Iterator[QueuedScan]:
        """Yield the scans that still wait: nothing more will come."""
        yield from self._leaving(None)

    def rewind(self, stamp_ns: int) -> Iterator[QueuedScan]:
        """Forget what lies after a stamp, to which time went back; yields the scans lost by it."""
        self._buffer.rewind(stamp_ns)
        later = [each for each in self._waiting if each[1].stamp_ns > stamp_ns + REWIND_SLACK_NS]
        for item, header in later:
            self._waiting.remove((item, header))
            error = MessageError("time_went_back", "the scan still waited when time jumped back")
            yield QueuedScan(item, header, error=error)
        for topic, infos in self._infos.items():
            kept = [pair for pair in infos if pair[0] <= stamp_ns + REWIND_SLACK_NS]
            self._infos[topic] = deque(kept, _INFOS)

    def _overdue(self, now_ns: int) -> Iterator[QueuedScan]:
        """Yield what leaves without a message that comes now: it has waited long enough."""
        if self._waiting and now_ns - self._waiting[0][0].stamp_ns >= self._patience_ns:
            yield from self._leaving(now_ns)

    def _leaving(self, now_ns: int | None) -> Iterator[QueuedScan]:
        """Yield the scans at the head of the queue that can leave; now_ns None: the end."""
        while self._waiting:
            item, header = self._waiting[0]
            patient = now_ns is not None and now_ns - item.stamp_ns < self._patience_ns
            if patient and self._info_may_come(item, header):
                return
            try:
                left = self._placed(item, header)
            except TransformError as error:
                if error.retriable and patient:
                    return
                left = QueuedScan(item, header, error=self._first_fault(item, error))
            except MessageError as error:
                left = QueuedScan(item, header, error=error)
            self._waiting.popleft()
            yield left

    def _info_may_come(self, item: BagMessage, header: Header) -> bool:
        """Say whether a camera_info that fits a depth image better is still to be expected."""
        topic = self._info_of[item.topic]
        if not topic or (self._infos_known and self._infos_left[topic] <= 0):
            return False
        return all(stamp_ns < header.stamp_ns for stamp_ns, _ in self._infos[topic])

    def _placed(self, item: BagMessage, header: Header) -> QueuedScan:
        base, stamp_ns = None, header.stamp_ns
        pose = self._buffer.lookup(self._map_frame, header.frame_id, stamp_ns)
        if self._base_frame is not None:
            base = self._buffer.lookup(self._base_frame, header.frame_id, stamp_ns)
        start = time.perf_counter()
        scan = self._decoded(item, header, pose)
        return QueuedScan(item, header, scan, base, seconds=time.perf_counter() - start)

    def _decoded(self, item: BagMessage, header: Header, pose: RigidTransform) -> Scan:
        topic = self._info_of[item.topic]
        if not topic:
            return CloudScan(decode_point_cloud(item.message), pose)
        depth = decode_depth(item.message)
        if not self._infos[topic]:
            raise MessageError("no_match", f"no camera_info on {topic} near the image")
        _, info = min(self._infos[topic], key=lambda pair: abs(pair[0] - header.stamp_ns))
        frame_id = str(info.header.frame_id).lstrip("/")
        if frame_id not in ("", header.frame_id):
            raise MessageError(
                "frame_mismatch",
                f"the depth image is of {header.frame_id}, its camera_info of {frame_id}: give "
                "each camera topics of its own",
            )
        return DepthScan(depth, decode_camera_info(info), pose)

    def _first_fault(self, item: BagMessage, error: TransformError) -> PerceptionError:
        """Return what a node finds first: it decodes a scan before it looks for its transform."""
        try:
            self._decoded(item, decode_header(item.message.header), RigidTransform.identity())
        except MessageError as fault:
            return fault
        return error
