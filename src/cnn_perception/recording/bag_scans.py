"""The scans of a bag, placed by its transforms: what a mapper eats, offline; a camera's path."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from cnn_perception.errors import BagError, TransformError
from cnn_perception.mapping.scan_queue import QueuedScan, ScanQueue
from cnn_perception.mapping.scans import Scan
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages import drop_reason
from cnn_perception.messages.decode import decode_header
from cnn_perception.messages.frame import Frame
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.streams import TF, TF_STATIC, ScanStream
from cnn_perception.types import Float32Array, Float64Array, Header

__all__ = ["BagScans", "camera_path"]

# How long, in recorded time, a message is kept for its transform: as long as tf keeps those.
_PATIENCE_NS = 10_000_000_000
_POSES = (TF, TF_STATIC)


class BagScans:
    """The depth images and clouds of a bag in recorded order, with poses from its /tf, /tf_static.

    A scan that cannot be placed is skipped and counted in `skipped` by reason. Raises BagError for
    a bag without /tf and /tf_static and for topics that it does not have.
    """

    def __init__(self, bag: BagReader, streams: Sequence[ScanStream], map_frame: str) -> None:
        self._bag = bag
        self._streams = tuple(streams)
        self._map_frame = map_frame
        self._present = {topic.name: topic.count for topic in bag.topics}
        if not any(name in self._present for name in _POSES):
            raise BagError(f"{bag.path} has neither /tf nor /tf_static: record the robot's poses")
        self._count = sum(self._present.get(stream.topic, 0) for stream in streams)
        self.skipped: Counter[str] = Counter()
        self.last_error = ""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Scan]:
        infos = {stream.topic: stream.camera_info for stream in self._streams}
        buffer = TransformBuffer(jump_ns=BACKWARD_JUMP_NS)
        has_info = {topic: bool(info) for topic, info in infos.items()}
        queue = ScanQueue(has_info, buffer, self._map_frame, lambda: _PATIENCE_NS)
        poses = [name for name in _POSES if name in self._present]
        wanted = dict.fromkeys((*infos, *(info for info in infos.values() if info), *poses))
        for item in self._bag.messages(list(wanted)):
            if queue.deadline_ns is not None and item.stamp_ns >= queue.deadline_ns:
                yield from self._placed(queue.leaving(item.stamp_ns))  # without what comes now
            if item.topic in _POSES:
                buffer.learn(item.message, item.topic == TF_STATIC)
            elif item.topic in infos:
                frame = Frame(item.message, item.topic, item.stamp_ns)
                yield from self._placed(queue.add(item.topic, frame))
            else:
                for topic, info in infos.items():
                    if info == item.topic:
                        queue.add_info(topic, item.message)
            yield from self._placed(queue.leaving(item.stamp_ns))
        yield from self._placed(queue.leaving(None))

    def _placed(self, scans: Iterable[QueuedScan]) -> Iterator[Scan]:
        for each in scans:
            if each.scan is not None:
                yield each.scan
            elif each.error is not None:
                self.skipped[drop_reason(each.error)] += 1
                self.last_error = str(each.error)


def camera_path(bag: BagReader, topic: str, map_frame: str) -> Float32Array:
    """Return where the sensor of a topic was at the stamps of its messages.

    float32 (N, 3) metres in the map's frame, in order of time. Nothing but headers is decoded;
    messages without a transform are left out. Raises BagError for a topic that the bag lacks.
    """
    present = {known.name for known in bag.topics}
    poses = [name for name in _POSES if name in present]
    buffer = TransformBuffer()
    waiting: deque[tuple[Header, int]] = deque()
    places: list[Float64Array] = []
    for item in bag.messages([topic, *poses]):
        if item.topic == topic:
            waiting.append((decode_header(item.message.header), item.stamp_ns))
        else:
            buffer.learn(item.message, item.topic == TF_STATIC)
        places += _placed(waiting, buffer, map_frame, item.stamp_ns)
    places += _placed(waiting, buffer, map_frame, None)
    return np.array(places, np.float32).reshape(-1, 3)


def _placed(
    waiting: deque[tuple[Header, int]], buffer: TransformBuffer, map_frame: str, now_ns: int | None
) -> list[Float64Array]:
    """Take what can be placed, or is lost, off the head of the queue; now_ns None: the end."""
    places = []
    while waiting:
        header, recorded_ns = waiting[0]
        try:
            pose = buffer.lookup(map_frame.lstrip("/"), header.frame_id, header.stamp_ns)
            places.append(pose.translation)
        except TransformError as error:
            if error.retriable and now_ns is not None and now_ns - recorded_ns < _PATIENCE_NS:
                break
        waiting.popleft()
    return places
