"""Two bags read side by side, a moment at a time, so that memory does not grow with them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from cnn_perception.recording.bag import BagReader, RawBagMessage

__all__ = ["AlignedMessages", "frame_topics", "lockstep"]


@dataclass(frozen=True, slots=True)
class AlignedMessages:
    """What two bags recorded at the same nanosecond, by topic in recorded order."""

    recorded_ns: int
    first: Mapping[str, list[RawBagMessage]]
    second: Mapping[str, list[RawBagMessage]]


def frame_topics(bag: BagReader) -> list[str]:
    """Return the topics that carry a message for each frame: those that are not latched."""
    return [topic.name for topic in bag.topics if not topic.latched]


def lockstep(
    first: BagReader,
    first_topics: Collection[str],
    second: BagReader,
    second_topics: Collection[str],
    window_ns: tuple[int | None, int | None] = (None, None),
) -> Iterator[AlignedMessages]:
    """Yield the moments at which one of two bags has a message, in order.

    window_ns: the part of the first bag that is read, without its end. Topics that a bag does not
    have are left out. Raises BagError for data that cannot be read.
    """
    streams = (
        _stream(0, first, first_topics, window_ns),
        _stream(1, second, second_topics, (None, None)),
    )
    merged = heapq.merge(*streams, key=lambda item: item[:2])
    for recorded_ns, items in groupby(merged, key=lambda item: item[0]):
        sides: tuple[dict[str, list[RawBagMessage]], dict[str, list[RawBagMessage]]] = ({}, {})
        for _, side, raw in items:
            sides[side].setdefault(raw.topic, []).append(raw)
        yield AlignedMessages(recorded_ns, *sides)


def _stream(
    side: int, bag: BagReader, topics: Collection[str], window_ns: tuple[int | None, int | None]
) -> Iterator[tuple[int, int, RawBagMessage]]:
    there = {topic.name for topic in bag.topics}
    start_ns, stop_ns = window_ns
    chosen = [topic for topic in topics if topic in there]
    for raw in bag.raw_messages(chosen, start_ns=start_ns, stop_ns=stop_ns):
        yield raw.stamp_ns, side, raw
