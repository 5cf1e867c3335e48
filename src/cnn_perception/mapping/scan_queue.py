"""Depth images and clouds that wait for their transform and their camera_info."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cnn_perception.errors import MessageError, PerceptionError, TransformError
from cnn_perception.mapping.scans import CloudScan, DepthScan, Scan
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import check_frames, decode_camera_info, decode_header
from cnn_perception.messages.frame import Frame
from cnn_perception.messages.stamps import REWIND_SLACK_NS
from cnn_perception.messages.sync import MessageCache
from cnn_perception.types import Header, RigidTransform

__all__ = ["QueuedScan", "ScanQueue"]

_INFOS = 100
"""Calibrations that are remembered of each sensor: more than a second of them."""


@dataclass(frozen=True, slots=True, eq=False)
class QueuedScan:
    """A depth image or cloud that has left the queue: placed, or lost.

    scan: what it says and where its sensor was, None if it is lost; base_from_sensor: if that was
    asked for; error: why it is lost.
    """

    sensor: str
    frame: Frame
    scan: Scan | None = None
    base_from_sensor: RigidTransform | None = None
    error: PerceptionError | None = None

    @property
    def header(self) -> Header:
        """Stamp and frame of the scan."""
        return self.frame.header


@dataclass(slots=True, eq=False)
class _Sensor:
    """One sensor. infos: None for clouds; paired: the last image had a camera_info of its stamp."""

    infos: MessageCache[Any] | None
    waiting: deque[tuple[int, Frame]] = field(default_factory=deque)
    paired: bool = False


class ScanQueue:
    """Scans, each of which leaves when all it needs is there; no sensor waits for another.

    A scan waits for its transform, interpolated at its stamp, and a depth image for its
    camera_info: for any at all, and where the last image had one of its own stamp, for that, or
    until a later one is there; then the nearest is taken. They wait for patience_ns(). Of one
    sensor, scans leave in order. sensors: whether each has camera_infos, by name. base_frame(): a
    frame in which the sensor's place is wanted as well, None for no. limit: most scans that wait of
    one sensor.
    """

    def __init__(
        self,
        sensors: Mapping[str, bool],
        buffer: TransformBuffer,
        map_frame: str,
        patience_ns: Callable[[], int],
        *,
        base_frame: Callable[[], str | None] = lambda: None,
        limit: int | None = None,
    ) -> None:
        self._sensors = {
            name: _Sensor(MessageCache(_INFOS) if has_infos else None)
            for name, has_infos in sensors.items()
        }
        self._buffer = buffer
        self._map_frame = map_frame.lstrip("/")
        self._patience_ns = patience_ns
        self._base_frame = base_frame
        self._limit = limit
        self._count = 0

    def add(self, sensor: str, frame: Frame) -> Iterator[QueuedScan]:
        """Take a depth image or a cloud; yields one that has to leave for it, lost."""
        waiting = self._sensors[sensor].waiting
        if self._limit is not None and len(waiting) >= self._limit:
            _, oldest = waiting.popleft()
            error = MessageError(
                "waited_too_long",
                f"{self._limit} scans wait for their transforms or camera_infos, and one more "
                "came: bring these sooner, or lower transform_timeout",
            )
            yield QueuedScan(sensor, oldest, error=error)
        self._count += 1
        waiting.append((self._count, frame))

    def add_info(self, sensor: str, message: Any) -> None:
        """Take a camera_info."""
        infos = self._sensors[sensor].infos
        if infos is not None:
            infos.add(decode_header(message.header).stamp_ns, message)

    @property
    def deadline_ns(self) -> int | None:
        """When the patience with a scan ends; None where none waits."""
        heads = [s.waiting[0][1].received_ns for s in self._sensors.values() if s.waiting]
        return min(heads) + self._patience_ns() if heads else None

    def leaving(self, now_ns: int | None) -> Iterator[QueuedScan]:
        """Yield the scans that can leave, the oldest first; None: nothing more will come."""
        while queued := self._next(now_ns):
            self._sensors[queued.sensor].waiting.popleft()
            yield queued

    def _next(self, now_ns: int | None) -> QueuedScan | None:
        heads = [(s.waiting[0], name, s) for name, s in self._sensors.items() if s.waiting]
        for (_, frame), name, sensor in sorted(heads, key=lambda head: head[0][0]):
            if (queued := self._left(name, sensor, frame, now_ns)) is not None:
                return queued
        return None

    def rewind(self, stamp_ns: int) -> Iterator[QueuedScan]:
        """Forget what lies after a stamp, to which time went back; yields the scans lost by it."""
        for name, sensor in self._sensors.items():
            if sensor.infos is not None:
                sensor.infos.rewind(stamp_ns + REWIND_SLACK_NS)
            for order, frame in list(sensor.waiting):
                if frame.header.stamp_ns > stamp_ns + REWIND_SLACK_NS:
                    sensor.waiting.remove((order, frame))
                    error = MessageError("time_went_back", "it still waited when time jumped back")
                    yield QueuedScan(name, frame, error=error)

    def clear(self) -> list[Frame]:
        """Let go of everything; returns the scans that waited."""
        left = []
        for sensor in self._sensors.values():
            left += [frame for _, frame in sensor.waiting]
            sensor.waiting.clear()
            sensor.paired = False
            if sensor.infos is not None:
                sensor.infos = MessageCache(_INFOS)
        return left

    def _left(
        self, name: str, sensor: _Sensor, frame: Frame, now_ns: int | None
    ) -> QueuedScan | None:
        """Return what becomes of a scan if it leaves now, None if it goes on waiting."""
        patient = now_ns is not None and now_ns - frame.received_ns < self._patience_ns()
        if patient and _info_may_come(sensor, frame):
            return None
        try:
            pose, base = self._place(frame)
            scan = _decoded(sensor, frame, pose)
        except TransformError as error:
            if error.retriable and patient:
                return None
            return QueuedScan(name, frame, error=_first_fault(sensor, frame, error))
        except MessageError as error:
            return QueuedScan(name, frame, error=error)
        return QueuedScan(name, frame, scan, base)

    def _place(self, frame: Frame) -> tuple[RigidTransform, RigidTransform | None]:
        header, base_frame = frame.header, self._base_frame()
        pose = self._buffer.lookup(self._map_frame, header.frame_id, header.stamp_ns)
        if base_frame is None:
            return pose, None
        return pose, self._buffer.lookup(base_frame, header.frame_id, header.stamp_ns)


def _info_may_come(sensor: _Sensor, frame: Frame) -> bool:
    """Say whether a camera_info that fits a depth image better is still to be expected."""
    if sensor.infos is None:
        return False
    if not len(sensor.infos):
        return True
    return sensor.paired and not sensor.infos.reaches(frame.header.stamp_ns)


def _decoded(sensor: _Sensor, frame: Frame, pose: RigidTransform) -> Scan:
    if sensor.infos is None:
        return CloudScan(frame.points(), pose)
    depth, found = frame.depth(), sensor.infos.nearest(frame.header.stamp_ns)
    if found is None:
        raise MessageError("no_match", "no camera_info came for the depth image")
    stamp_ns, info = found
    sensor.paired = stamp_ns == frame.header.stamp_ns
    check_frames(frame.header, decode_header(info.header), "camera_info")
    return DepthScan(depth, decode_camera_info(info), pose)


def _first_fault(sensor: _Sensor, frame: Frame, error: TransformError) -> PerceptionError:
    """Return what is wrong with a scan itself, rather than that its place is not known."""
    try:
        _decoded(sensor, frame, RigidTransform.identity())
    except MessageError as fault:
        return fault
    return error
