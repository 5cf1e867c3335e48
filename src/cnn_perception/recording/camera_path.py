"""Where a camera was while a bag was recorded."""

from __future__ import annotations

from collections import deque

import numpy as np

from cnn_perception.errors import TransformError
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import decode_header
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.streams import TF, TF_STATIC
from cnn_perception.types import Float32Array, Float64Array, Header

__all__ = ["camera_path"]

# How long, in recorded time, a message is kept for its transform: as long as tf keeps those.
_PATIENCE_NS = 10_000_000_000


def camera_path(bag: BagReader, topic: str, map_frame: str) -> Float32Array:
    """Return where the sensor of a topic was at the stamps of its messages.

    float32 (N, 3) metres in the map's frame, in order of time. Nothing but headers is decoded;
    messages without a transform are left out. Raises BagError for a topic that the bag lacks.
    """
    present = {known.name for known in bag.topics}
    poses = [name for name in (TF, TF_STATIC) if name in present]
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
