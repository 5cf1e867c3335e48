"""The schedule of a played bag: exact times, equal loops, clock ticks in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import BagError, ConfigError
from cnn_perception.recording.bag import BagReader, BagWriter, typestore
from cnn_perception.recording.timeline import PlayOptions, timeline

STRING = "std_msgs/msg/String"
START = 1_700_000_000_000_000_000
MILLISECOND = 1_000_000


@pytest.fixture
def bag(tmp_path: Path) -> BagReader:
    """A latched message at 0 ms, and texts a..d at 0, 100, 200, 300 ms."""
    text = typestore().types[STRING]
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/fixed", STRING, text(data="fixed"), START, latched=True)
        for index, letter in enumerate("abcd"):
            writer.write("/text", STRING, text(data=letter), START + index * 100 * MILLISECOND)
    return BagReader(tmp_path / "bag")


def sent(bag: BagReader, options: PlayOptions) -> list[tuple[float, str]]:
    """(milliseconds, text or 'tick') of each event."""
    return [
        (
            event.due_ns / MILLISECOND,
            bag.deserialize(event.message).data if event.message else "tick",
        )
        for event in timeline(bag, options)
    ]


def test_messages_keep_their_distance(bag: BagReader) -> None:
    assert sent(bag, PlayOptions()) == [
        (0, "fixed"),
        (0, "a"),
        (100, "b"),
        (200, "c"),
        (300, "d"),
    ]


def test_rate_scales_the_distance(bag: BagReader) -> None:
    options = PlayOptions(rate=4.0, topics=frozenset({"/text"}))
    assert sent(bag, options) == [(0, "a"), (25, "b"), (50, "c"), (75, "d")]


def test_every_loop_has_the_same_stamps(bag: BagReader) -> None:
    loops: dict[int, list[int]] = {}
    due = []
    for event in timeline(bag, PlayOptions(loops=3, clock_hz=10)):
        loops.setdefault(event.loop, []).append(event.stamp_ns)
        due.append(event.due_ns)
    assert loops[0] == loops[1] == loops[2]
    assert due == sorted(due)
    assert due[len(loops[0])] == 400 * MILLISECOND


def test_clock_ticks_come_before_what_is_due(bag: BagReader) -> None:
    options = PlayOptions(clock_hz=20, topics=frozenset({"/text"}), start_offset_ns=200_000_000)
    assert sent(bag, options) == [(0, "tick"), (0, "c"), (50, "tick"), (100, "tick"), (100, "d")]


def test_offset_keeps_latched_messages(bag: BagReader) -> None:
    options = PlayOptions(start_offset_ns=150 * MILLISECOND)
    assert sent(bag, options) == [(0, "fixed"), (50, "c"), (150, "d")]


def test_duration_ends_each_loop(bag: BagReader) -> None:
    window = PlayOptions(loops=2, start_offset_ns=50 * MILLISECOND, duration_ns=150 * MILLISECOND)
    # From 50 to before 200 ms; the next loop begins 0.1 s after its end.
    assert sent(bag, window) == [(0, "fixed"), (50, "b"), (250, "fixed"), (300, "b")]


def test_a_window_without_messages_ends_even_without_end(bag: BagReader) -> None:
    options = PlayOptions(
        loops=0,
        topics=frozenset({"/text"}),
        start_offset_ns=10 * MILLISECOND,
        duration_ns=50 * MILLISECOND,
    )
    assert sent(bag, options) == []


def test_endless_playing_goes_on(bag: BagReader) -> None:
    events = timeline(bag, PlayOptions(loops=0))
    loops = {next(events).loop for _ in range(500)}
    assert loops == set(range(100))


def test_empty_bag_ends_even_without_end(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "empty"):
        pass
    assert list(timeline(BagReader(tmp_path / "empty"), PlayOptions(loops=0))) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"rate": 0.0}, "rate 0.0"),
        ({"rate": float("nan")}, "rate nan"),
        ({"rate": float("inf")}, "rate inf"),
        ({"loops": -1}, "-1 loops"),
        ({"start_offset_ns": -1}, "offset"),
        ({"duration_ns": 0}, "duration 0.0 s plays nothing"),
        ({"clock_hz": 0.0}, "clock of 0.0 Hz"),
    ],
)
def test_senseless_options_are_refused(values: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        PlayOptions(**values)  # type: ignore[arg-type]


def test_what_the_bag_lacks_is_named(bag: BagReader) -> None:
    with pytest.raises(ConfigError, match="beyond the end"):
        list(timeline(bag, PlayOptions(start_offset_ns=301 * MILLISECOND)))
    with pytest.raises(BagError, match="did you mean /text"):
        list(timeline(bag, PlayOptions(topics=frozenset({"/txt"}))))
