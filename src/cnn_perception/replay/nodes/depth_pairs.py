"""Detections that wait for the depth of their moment, in recorded time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagMessage
from cnn_perception.types import Detections

__all__ = ["DepthPairs"]

_DEPTHS = 10
_INFOS = 10


class DepthPairs:
    """Brings images and depth images together by their stamps.

    What was found in an image leaves with the nearest depth within `slop_s` once one of its stamp
    or later is there, or without any after `patience_ns` of recorded time.
    """

    def __init__(self, depth: str, camera_info: str, slop_s: float, patience_ns: int) -> None:
        self.topics = frozenset({depth, camera_info})
        self._camera_info = camera_info
        self._slop_ns = round(slop_s * 1e9)
        self._patience_ns = patience_ns
        self._depths: deque[tuple[int, Any]] = deque(maxlen=_DEPTHS)
        self._infos: deque[tuple[int, Any]] = deque(maxlen=_INFOS)
        self._waiting: deque[tuple[BagMessage, Detections]] = deque()

    def add(self, item: BagMessage) -> None:
        """Take a depth image or a camera_info."""
        of_topic = self._infos if item.topic == self._camera_info else self._depths
        of_topic.append((stamp_to_ns(item.message.header.stamp), item.message))

    def wait(self, item: BagMessage, found: Detections) -> None:
        """Take what was found in an image."""
        self._waiting.append((item, found))

    def ready(self, now_ns: int | None) -> Iterator[tuple[BagMessage, Detections, Any, Any]]:
        """Yield image, detections, depth and camera_info of what can leave; None: at the end.

        Depth and camera_info are None where there are none.
        """
        while self._waiting:
            item, found = self._waiting[0]
            stamp_ns = stamp_to_ns(item.message.header.stamp)
            patient = now_ns is not None and now_ns - item.stamp_ns < self._patience_ns
            complete = bool(self._infos) and any(at >= stamp_ns for at, _ in self._depths)
            if patient and not complete:
                return
            self._waiting.popleft()
            depth = _nearest(self._depths, stamp_ns, self._slop_ns)
            yield item, found, depth, _nearest(self._infos, stamp_ns, None)

    def rewind(self, stamp_ns: int) -> None:
        """Forget depth later than a stamp, to which time went back."""
        kept = [pair for pair in self._depths if pair[0] <= stamp_ns]
        self._depths = deque(kept, _DEPTHS)


def _nearest(pairs: deque[tuple[int, Any]], stamp_ns: int, slop_ns: int | None) -> Any:
    if not pairs:
        return None
    at, message = min(pairs, key=lambda pair: abs(pair[0] - stamp_ns))
    return message if slop_ns is None or abs(at - stamp_ns) <= slop_ns else None
