"""What there is over the time of a bag, in bounded memory: latencies, drops, objects, moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cnn_perception.messages.decode import decode_detections
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.moments import FrameTime
from cnn_perception.replay.run import PROCESSED, FrameRecord

__all__ = [
    "SLOTS",
    "ClassLane",
    "ClassTimeline",
    "Drop",
    "FrameChoice",
    "FrameTimeline",
    "Point",
    "TimeSpan",
]

SLOTS = 600
"""Parts of a drive that the timeline tells apart."""

_LANES = 14
_MOST_DROPPED = 8


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The part of a bag that was replayed. start_ns: of the bag; first, last: seconds from it."""

    start_ns: int
    first: float
    last: float

    @classmethod
    def of(cls, bag: Mapping[str, Any]) -> TimeSpan:
        """Return that of metrics.json's "bag"."""
        start_ns, end_ns = int(bag["start_ns"]), int(bag["end_ns"])
        first, last = bag["window_s"]
        whole = (end_ns - start_ns) / 1e9
        return cls(start_ns, float(first), float(whole if last is None else min(last, whole)))

    def seconds(self, stamp_ns: int) -> float:
        """Return a time as seconds from the bag's start."""
        return (stamp_ns - self.start_ns) / 1e9

    def slot(self, seconds: float, slots: int) -> int:
        """Return in which of so many equal parts a time lies; those outside count to the ends."""
        share = (seconds - self.first) / ((self.last - self.first) or 1.0)
        return min(max(int(share * slots), 0), slots - 1)


@dataclass(frozen=True, slots=True)
class Point:
    """The slowest frame of a node in a slot of time: seconds, milliseconds, what it found."""

    seconds: float
    milliseconds: float
    found: int


@dataclass(slots=True)
class Drop:
    """Frames that a node dropped for one reason in a slot of time, and when the first was."""

    seconds: float
    node: str
    reason: str
    count: int


class FrameTimeline:
    """Collects what became of frames: per node the slowest in each slot of time, and the drops."""

    def __init__(self, span: TimeSpan) -> None:
        self._span = span
        self._points: dict[str, dict[int, Point]] = {}
        self._drops: dict[tuple[int, str, str], Drop] = {}
        self.frames: Counter[str] = Counter()
        self._processed: Counter[str] = Counter()

    def add(self, record: FrameRecord) -> None:
        """Take in one frame."""
        seconds = self._span.seconds(record.recorded_ns)
        slot = self._span.slot(seconds, SLOTS)
        self.frames[record.node] += 1
        points = self._points.setdefault(record.node, {})
        if record.outcome != PROCESSED:
            key = (slot, record.node, record.outcome)
            self._drops.setdefault(key, Drop(seconds, *key[1:], 0)).count += 1
            return
        self._processed[record.node] += 1
        if slot not in points or points[slot].milliseconds < record.milliseconds:
            points[slot] = Point(seconds, record.milliseconds, record.found)

    @property
    def thinned(self) -> bool:
        """True where only the slowest frame of each slot is shown."""
        return any(self._processed[node] > len(points) for node, points in self._points.items())

    def points(self) -> dict[str, list[Point]]:
        """Return what was processed, by node, in order of time."""
        return {
            node: [points[slot] for slot in sorted(points)] for node, points in self._points.items()
        }

    def drops(self) -> list[Drop]:
        """Return what was dropped, in order of time."""
        return sorted(self._drops.values(), key=lambda drop: (drop.seconds, drop.node, drop.reason))


@dataclass(frozen=True, slots=True)
class ClassLane:
    """How many objects of a class there were: (seconds, number) where there were some."""

    label: str
    points: tuple[tuple[float, int], ...]


class ClassTimeline:
    """The objects of a detections topic by class, of the first frame in each slot of time."""

    def __init__(self, span: TimeSpan) -> None:
        self._span = span
        self._lanes: dict[str, list[tuple[float, int]]] = {}

    def read(self, bag: BagReader, topic: str) -> None:
        """Take in a topic of vision_msgs/Detection2DArray; frames that are not shown stay raw."""
        last_slot = -1
        for raw in bag.raw_messages([topic]):
            seconds = self._span.seconds(raw.stamp_ns)
            slot = self._span.slot(seconds, SLOTS)
            if slot == last_slot:
                continue
            last_slot = slot
            counts = Counter(decode_detections(bag.deserialize(raw)).labels)
            for label, count in counts.items():
                self._lanes.setdefault(label, []).append((seconds, count))

    def lanes(self) -> tuple[list[ClassLane], list[str]]:
        """Return the most frequent classes, in order of frequency, and the names of the others."""
        ranked = sorted(self._lanes, key=lambda label: (-_total(self._lanes[label]), label))
        lanes = [ClassLane(label, tuple(self._lanes[label])) for label in ranked[:_LANES]]
        return lanes, ranked[_LANES:]


def _total(points: Iterable[tuple[float, int]]) -> int:
    return sum(count for _, count in points)


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
