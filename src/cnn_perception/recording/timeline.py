"""When each message of a bag is due: rate, loops, window, clock ticks. No ROS, no waiting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from cnn_perception.errors import ConfigError
from cnn_perception.recording.bag import BagReader, RawBagMessage

__all__ = ["PlayOptions", "TimelineEvent", "played_messages", "played_window", "timeline"]

# The pause, in recorded time, between the last message of a loop and the first of the next: without
# it the two would arrive together and a node could only process one of them.
_LOOP_GAP_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """How a bag is played.

    rate: recorded seconds per second; loops: how often, 0 without end; start_offset_ns: how much of
    the beginning to skip (latched messages in it are still sent); topics: the ones to play, None
    for all; clock_hz: ticks of the clock per recorded second, None for no clock; duration_ns: how
    much to play from there, None for the rest.
    """

    rate: float = 1.0
    loops: int = 1
    start_offset_ns: int = 0
    topics: frozenset[str] | None = None
    clock_hz: float | None = None
    duration_ns: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ConfigError(f"rate {self.rate} is not positive: 1 is the recorded speed")
        if self.loops < 0:
            raise ConfigError(f"{self.loops} loops are too few: 1 plays once, 0 without end")
        if self.start_offset_ns < 0:
            raise ConfigError(f"start offset {self.start_offset_ns / 1e9} s must not be negative")
        if self.duration_ns is not None and self.duration_ns <= 0:
            raise ConfigError(
                f"duration {self.duration_ns / 1e9} s plays nothing: leave it out to play all"
            )
        if self.clock_hz is not None and not 1 <= self.clock_hz <= 1000:
            raise ConfigError(f"clock of {self.clock_hz} Hz: give a rate from 1 to 1000")


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something to send `due_ns` after the start, on a steady clock; no message: a clock tick.

    stamp_ns is the recorded time at that moment, loop counts from 0.
    """

    due_ns: int
    stamp_ns: int
    loop: int
    message: RawBagMessage | None


def timeline(bag: BagReader, options: PlayOptions) -> Iterator[TimelineEvent]:
    """Yield what to send, in order. Every loop has the same recorded stamps.

    Raises BagError for a topic that the bag lacks, ConfigError for an offset beyond its end.
    """
    begin_ns, end_ns = played_window(bag, options)
    length_ns = min(end_ns, bag.end_ns) - begin_ns + _LOOP_GAP_NS
    loops = itertools.count() if options.loops == 0 else range(options.loops)
    for loop in loops:
        messages = played_messages(bag, options, end_ns)
        nothing = True
        for stamp_ns, message in _with_ticks(messages, begin_ns, options):
            recorded_ns = loop * length_ns + stamp_ns - begin_ns
            yield TimelineEvent(round(recorded_ns / options.rate), stamp_ns, loop, message)
            nothing = False
        if nothing:  # nor will there be anything in the next loop, of which there may be no last
            return


def played_window(bag: BagReader, options: PlayOptions) -> tuple[int, int]:
    """Return the recorded times from which (inclusive) and to which (exclusive) a bag is played.

    Raises ConfigError for an offset beyond its end.
    """
    if options.start_offset_ns > bag.duration_ns:
        raise ConfigError(
            f"start offset {options.start_offset_ns / 1e9} s is beyond the end of {bag.path}, "
            f"which lasts {bag.duration_ns / 1e9:.3f} s"
        )
    begin_ns = bag.start_ns + options.start_offset_ns
    if options.duration_ns is None:
        return begin_ns, bag.end_ns + 1
    return begin_ns, begin_ns + options.duration_ns


def played_messages(bag: BagReader, options: PlayOptions, stop_ns: int) -> Iterator[RawBagMessage]:
    """Yield the messages of one loop in recorded order, those recorded at `stop_ns` excluded.

    Latched ones from before the window come first, as if recorded at its beginning. Raises as
    `timeline`.
    """
    begin_ns, _ = played_window(bag, options)
    if options.start_offset_ns > 0:
        latched = [
            topic.name
            for topic in bag.topics
            if topic.latched and (options.topics is None or topic.name in options.topics)
        ]
        for message in bag.raw_messages(latched, stop_ns=begin_ns):
            yield RawBagMessage(message.topic, message.msgtype, message.data, begin_ns)
    yield from bag.raw_messages(options.topics, start_ns=begin_ns, stop_ns=stop_ns)


def _with_ticks(
    messages: Iterator[RawBagMessage], begin_ns: int, options: PlayOptions
) -> Iterator[tuple[int, RawBagMessage | None]]:
    period_ns = round(1e9 / options.clock_hz) if options.clock_hz is not None else None
    tick_ns = begin_ns
    for message in messages:
        while period_ns is not None and tick_ns <= message.stamp_ns:
            yield tick_ns, None
            tick_ns += period_ns
        yield message.stamp_ns, message
