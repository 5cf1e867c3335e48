"""Messages of several topics brought together by their stamps, and by nothing else.

Nothing here waits or looks at a clock: who uses it is told the time, live or recorded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cnn_perception.errors import ConfigError
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS

__all__ = ["ApproximateTimeSynchronizer", "MessageCache"]

T = TypeVar("T")


class MessageCache(Generic[T]):
    """The last few messages of a topic, to be found by their stamps."""

    def __init__(self, size: int = 10) -> None:
        self._items: deque[tuple[int, T]] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, stamp_ns: int, item: T) -> None:
        """Remember a message; the oldest one may be forgotten for it."""
        self._items.append((stamp_ns, item))

    def nearest(self, stamp_ns: int, slop_ns: int | None = None) -> tuple[int, T] | None:
        """Return stamp and message nearest to a stamp; None if there is none within the slop."""
        found = min(self._items, key=lambda pair: abs(pair[0] - stamp_ns), default=None)
        if found is None or (slop_ns is not None and abs(found[0] - stamp_ns) > slop_ns):
            return None
        return found

    def reaches(self, stamp_ns: int) -> bool:
        """Say whether a message of this stamp or later is there: none to come will be nearer."""
        return any(at >= stamp_ns for at, _ in self._items)

    def rewind(self, stamp_ns: int) -> None:
        """Forget what is later than a stamp, to which time went back."""
        kept = [pair for pair in self._items if pair[0] <= stamp_ns]
        self._items.clear()
        self._items.extend(kept)


@dataclass(slots=True)
class _Stream:
    """What waits on one stream, sorted by stamp, and what became of the rest."""

    stamps: list[int] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    newest: int | None = None
    matched: int | None = None
    dropped: Counter[str] = field(default_factory=Counter)

    def forget_until(self, index: int, reason: str) -> None:
        """Drop the oldest `index` items."""
        if index > 0:
            self.dropped[reason] += index
            del self.stamps[:index], self.items[:index]

    def forget_from(self, index: int, reason: str) -> None:
        """Drop the items at `index` and after it."""
        count = len(self.stamps) - index
        if count > 0:
            self.dropped[reason] += count
            del self.stamps[index:], self.items[index:]

    def nearest(self, stamp_ns: int) -> int | None:
        """Return the index of the item nearest in time (the older of two equally near)."""
        index = bisect_left(self.stamps, stamp_ns)
        if index == len(self.stamps) or (
            index > 0 and stamp_ns - self.stamps[index - 1] <= self.stamps[index] - stamp_ns
        ):
            index -= 1
        return index if index >= 0 else None


class ApproximateTimeSynchronizer:
    """Groups the items of several streams whose stamps agree, by the stamp and not by arrival.

    A group forms as soon as each stream has an item within `slop_ns` of the newly added one; it
    takes the nearest. Groups come out in order of time: what is older than a group is dropped. When
    a stream's stamps go back by more than `jump_ns` (a bag loops, the clock is set), what waits is
    dropped and pairing starts afresh. Every item is accounted for: for each stream, added = grouped
    + pending + dropped, the last by reason: ``unpaired`` (no partner came), ``late`` (older than
    the last group), ``duplicate_stamp``, ``time_went_back``, ``cleared``.
    """

    def __init__(
        self,
        streams: Sequence[str],
        *,
        slop_ns: int = 0,
        queue_size: int = 10,
        jump_ns: int = BACKWARD_JUMP_NS,
    ) -> None:
        if len(streams) < 2 or len(set(streams)) != len(streams):
            raise ConfigError(f"streams = {list(streams)}: name two or more different streams")
        if slop_ns < 0 or queue_size < 1 or jump_ns < 0:
            raise ConfigError(
                f"slop_ns = {slop_ns}, queue_size = {queue_size}, jump_ns = {jump_ns}: times must "
                "not be negative and the queue must hold at least one item"
            )
        self._streams = {name: _Stream() for name in streams}
        self._slop_ns = slop_ns
        self._queue_size = queue_size
        self._jump_ns = jump_ns
        self._jumps = 0

    @property
    def jumps(self) -> int:
        """How often time went back."""
        return self._jumps

    def add(self, stream: str, stamp_ns: int, item: Any) -> tuple[Any, ...] | None:
        """Add an item; return the group that it completes, in the order of the streams, or None."""
        own = self._streams[stream]
        if own.newest is not None and stamp_ns < own.newest - self._jump_ns:
            self._restart(own, stamp_ns)
        own.newest = stamp_ns if own.newest is None else max(own.newest, stamp_ns)
        if own.matched is not None and stamp_ns <= own.matched:
            own.dropped["late"] += 1
            return None
        self._insert(own, stamp_ns, item)
        # A full queue may have dropped the item itself, if it is the oldest.
        waits = bool(own.stamps) and own.stamps[0] <= stamp_ns
        return self._group(stamp_ns) if waits else None

    def clear(self) -> None:
        """Drop everything that waits, and forget what was seen; the counts stay."""
        for stream in self._streams.values():
            stream.forget_from(0, "cleared")
            stream.newest = stream.matched = None

    def pending(self, stream: str) -> int:
        """Return how many items of a stream wait for partners."""
        return len(self._streams[stream].stamps)

    def dropped(self, stream: str | None = None) -> dict[str, int]:
        """Return how many items were dropped, by reason, of one stream or of all together."""
        chosen = [self._streams[stream]] if stream is not None else self._streams.values()
        total: Counter[str] = Counter()
        for each in chosen:
            total.update(each.dropped)
        return dict(total)

    def _insert(self, own: _Stream, stamp_ns: int, item: Any) -> None:
        index = bisect_left(own.stamps, stamp_ns)
        if index < len(own.stamps) and own.stamps[index] == stamp_ns:
            own.items[index] = item
            own.dropped["duplicate_stamp"] += 1
            return
        own.stamps.insert(index, stamp_ns)
        own.items.insert(index, item)
        own.forget_until(len(own.stamps) - self._queue_size, "unpaired")

    def _group(self, stamp_ns: int) -> tuple[Any, ...] | None:
        chosen: list[tuple[_Stream, int]] = []
        for stream in self._streams.values():
            index = stream.nearest(stamp_ns)
            if index is None or abs(stream.stamps[index] - stamp_ns) > self._slop_ns:
                return None
            chosen.append((stream, index))
        group = tuple(stream.items[index] for stream, index in chosen)
        for stream, index in chosen:
            stream.matched = stream.stamps[index]
            stream.forget_until(index, "unpaired")
            del stream.stamps[0], stream.items[0]
        return group

    def _restart(self, own: _Stream, stamp_ns: int) -> None:
        """Begin a new run of time at a stamp.

        The other streams may be there already: what they hold about the new time stays, so that no
        pair is lost whichever stream comes back first.
        """
        self._jumps += 1
        own.forget_from(0, "time_went_back")
        own.newest = None
        for stream in self._streams.values():
            stream.matched = None
            cut = bisect_left(stream.stamps, stamp_ns + self._jump_ns + 1)
            stream.forget_from(cut, "time_went_back")
