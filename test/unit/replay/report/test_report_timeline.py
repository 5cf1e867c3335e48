"""However long a drive is, what is kept of it for the page is bounded, and fair."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cnn_perception.replay.moments import FrameTime
from cnn_perception.replay.report.timeline import (
    SLOTS,
    Drop,
    FrameChoice,
    FrameTimeline,
    Point,
    TimeSpan,
)
from cnn_perception.replay.run import PROCESSED, FrameRecord

START_NS = 5_000_000_000
MS = 1_000_000
HOUR = TimeSpan(START_NS, 0.0, 3600.0)
BAG = {"start_ns": START_NS, "end_ns": START_NS + 10_000 * MS, "window_s": [2.0, None]}


def record(index: int, outcome: str = PROCESSED, ms: float = 1.0, found: int = 0) -> FrameRecord:
    """A frame each 36 ms, of stamps that have nothing to do with when they were recorded."""
    return FrameRecord("detector", "/image", index, START_NS + index * 36 * MS, outcome, ms, found)


def test_a_span_is_that_of_the_window() -> None:
    span = TimeSpan.of(BAG)
    assert (span.first, span.last) == (2.0, 10.0)
    assert TimeSpan.of({**BAG, "window_s": [0.0, 99.0]}).last == 10.0
    assert span.seconds(START_NS + 2500 * MS) == 2.5
    assert [span.slot(t, 4) for t in (0.0, 2.0, 5.9, 6.0, 10.0, 11.0)] == [0, 0, 1, 2, 3, 3]


def test_an_empty_span_is_one_slot() -> None:
    assert TimeSpan(START_NS, 0.0, 0.0).slot(0.0, 9) == 0


def test_the_slowest_frame_of_each_slot_is_kept() -> None:
    timeline = FrameTimeline(HOUR)
    for index in range(100_000):
        slow = 50.0 if index % 500 == 77 else 1.0
        timeline.add(record(index, ms=slow, found=index))
    points = timeline.points()["detector"]
    assert len(points) == SLOTS
    assert timeline.thinned
    assert sum(point.milliseconds == 50.0 for point in points) == 200
    assert points[0] == Point(pytest.approx(77 * 0.036), 50.0, 77)


def test_drops_are_counted_by_slot_and_reason() -> None:
    timeline = FrameTimeline(HOUR)
    for index in range(1000):
        timeline.add(record(index, "late" if index % 2 else "no_match"))
    assert timeline.drops()[:2] == [
        Drop(0.0, "detector", "no_match", 84),
        Drop(0.036, "detector", "late", 83),
    ]
    assert sum(drop.count for drop in timeline.drops()) == 1000
    assert timeline.points() == {"detector": []}


def test_frames_are_spread_and_the_liveliest_of_their_part() -> None:
    choice = FrameChoice("/image", HOUR, 60, {4321})
    for index in range(100_000):
        lively = index % 1000 == 123
        choice.add(record(index, found=9 if lively else 1))
    chosen = choice.chosen()
    stamps = [frame.stamp_ns for frame in chosen]
    assert 4321 in stamps
    assert len(stamps) == 61
    assert choice.special() == {FrameTime(START_NS + 4321 * 36 * MS, 4321)}
    assert all(stamp % 1000 == 123 for stamp in stamps if stamp != 4321)
    assert max(b - a for a, b in pairwise(stamps)) <= 3000


def test_other_topics_are_passed_over_and_few_dropped_frames_are_enough() -> None:
    choice = FrameChoice("/other", HOUR, 60, set())
    choice.add(record(1))
    assert choice.chosen() == []
    choice = FrameChoice("/image", HOUR, 60, set())
    for index in range(100):
        choice.add(record(index, "late"))
    assert [frame.stamp_ns for frame in choice.chosen()] == list(range(8))
