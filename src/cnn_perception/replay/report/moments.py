"""Which frames of a drive are shown: spread over it, and those that failed or were dropped."""

from __future__ import annotations

from collections.abc import Collection

from cnn_perception.replay.moments import FrameTime
from cnn_perception.replay.report.timeline import TimeSpan
from cnn_perception.replay.run import PROCESSED, FrameRecord

__all__ = ["FrameChoice"]

_MOST_DROPPED = 8


class FrameChoice:
    """Chooses up to `count` images of a topic: of each part of the drive the one with most objects.

    Beside them come the images whose stamps are in `wanted`, and the first few that were dropped.
    """

    def __init__(self, topic: str, span: TimeSpan, count: int, wanted: Collection[int]) -> None:
        self._topic = topic
        self._span = span
        self._count = count
        self._wanted = wanted
        self._best: dict[int, tuple[int, FrameTime]] = {}
        self._always: set[FrameTime] = set()
        self._dropped: set[FrameTime] = set()

    def add(self, record: FrameRecord) -> None:
        """Take in one frame; those of other topics are passed over."""
        if record.topic != self._topic:
            return
        frame = FrameTime(record.recorded_ns, record.stamp_ns)
        if record.stamp_ns in self._wanted:
            self._always.add(frame)
        if record.outcome != PROCESSED:
            if len(self._dropped) < _MOST_DROPPED:
                self._dropped.add(frame)
            return
        slot = self._span.slot(self._span.seconds(record.recorded_ns), self._count)
        found = record.found if record.node.rpartition("/")[2] == "detector" else 0
        best = self._best.get(slot)
        if best is None or found > best[0]:
            self._best[slot] = (found, frame)

    def chosen(self) -> list[FrameTime]:
        """Return the images to be shown, in order of time."""
        return sorted({frame for _, frame in self._best.values()} | self.special())

    def special(self) -> set[FrameTime]:
        """Return the images among them that were wanted or dropped."""
        return self._always | self._dropped
