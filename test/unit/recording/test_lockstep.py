"""Which messages of a bag go out together, and what they are answered by."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_perception.errors import BagError, ConfigError
from cnn_perception.messages.stamps import header_stamp_ns
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.recording.lockstep import (
    LockstepOptions,
    Step,
    awaited_of,
    inputs_of_outputs,
    lockstep,
)
from cnn_perception.recording.timeline import PlayOptions

IMAGE = "sensor_msgs/msg/Image"
CLOUD = "sensor_msgs/msg/PointCloud2"
TF = "tf2_msgs/msg/TFMessage"
COLOR, DEPTH = "/color", "/depth"
MILLISECOND = 1_000_000
START = 1_700_000_000_000_000_000


def stamped(stamp_ms: int) -> bytes:
    """Return the beginning of any serialised message with a header."""
    return b"\0\1\0\0" + struct.pack("<iI", *divmod(START + stamp_ms * MILLISECOND, 10**9))


def write(path: Path, records: Sequence[tuple[str, int, int]]) -> BagReader:
    """Write (topic, recorded at, stamp), milliseconds."""
    kinds = {COLOR: IMAGE, DEPTH: IMAGE, "/cloud": CLOUD}
    with BagWriter(path) as bag:
        for topic, recorded_ms, stamp_ms in records:
            data = stamped(stamp_ms)
            recorded_ns = START + recorded_ms * MILLISECOND
            latched = topic == "/tf_static"
            bag.write_raw(topic, kinds.get(topic, TF), data, recorded_ns, latched=latched)
    return BagReader(path)


def sent(step: Step) -> list[tuple[str, int]]:
    """(topic, recorded at in milliseconds) of what a step sends."""
    return [(m.topic, (m.stamp_ns - START) // MILLISECOND) for m in step.messages]


def steps_of(bag: BagReader, run_ahead_ms: int = 0, **options: int) -> list[Step]:
    return list(lockstep(bag, PlayOptions(**options), {COLOR, DEPTH}, run_ahead_ms * MILLISECOND))


def test_color_and_depth_of_one_moment_go_out_together(tmp_path: Path) -> None:
    bag = write(
        tmp_path / "bag", [(COLOR, 5, 0), (DEPTH, 7, 0), (COLOR, 105, 100), (DEPTH, 107, 100)]
    )
    first, second = steps_of(bag, run_ahead_ms=50)
    assert sent(first) == [(COLOR, 5), (DEPTH, 7)]
    assert sent(second) == [(COLOR, 105), (DEPTH, 107)]
    assert (first.stamp_ns, first.recorded_ns) == (START, START + 5 * MILLISECOND)
    assert first.gated == {COLOR, DEPTH}


def test_moments_that_differ_are_steps_of_their_own(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [(COLOR, 5, 0), (DEPTH, 7, 1), (COLOR, 105, 100)])
    assert [sent(step) for step in steps_of(bag, 50)] == [
        [(COLOR, 5)],
        [(DEPTH, 7)],
        [(COLOR, 105)],
    ]


def test_what_is_recorded_soon_after_an_image_goes_with_it(tmp_path: Path) -> None:
    bag = write(
        tmp_path / "bag",
        [("/tf", 0, 0), (COLOR, 10, 0), ("/tf", 60, 0), (COLOR, 70, 60), ("/tf", 71, 0)],
    )
    assert [sent(step) for step in steps_of(bag, 50)] == [
        [("/tf", 0), (COLOR, 10), ("/tf", 60)],
        [(COLOR, 70), ("/tf", 71)],
    ]
    assert [sent(step) for step in steps_of(bag, 0)] == [
        [("/tf", 0), (COLOR, 10)],
        [("/tf", 60), (COLOR, 70)],
        [("/tf", 71)],
    ]


def test_images_of_one_stamp_and_topic_are_not_sent_at_once(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [(COLOR, 5, 0), (COLOR, 6, 0), (DEPTH, 7, 0)])
    steps = steps_of(bag, 50)
    assert [sent(step) for step in steps] == [[(COLOR, 5), (DEPTH, 7)], [(COLOR, 6)]]
    inputs = {"/boxes": COLOR, "/map": DEPTH}
    awaited = [awaited_of(step, inputs) for step in steps]
    assert awaited[0] == {("/boxes", START): 1, ("/map", START): 1}
    assert awaited[1] == {("/boxes", START): 1}


def test_every_loop_has_the_same_steps(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [("/tf_static", 0, 0), (COLOR, 5, 0), (COLOR, 105, 100)])
    steps = steps_of(bag, 50, loops=3)
    assert [step.loop for step in steps] == [0, 0, 1, 1, 2, 2]
    assert [sent(step) for step in steps[:2]] * 3 == [sent(step) for step in steps]


def test_a_window_ends_the_images_but_not_their_transforms(tmp_path: Path) -> None:
    bag = write(
        tmp_path / "bag",
        [
            ("/tf_static", 0, 0),
            (COLOR, 10, 0),
            (COLOR, 110, 100),
            ("/tf", 130, 0),
            (COLOR, 140, 130),
            ("/tf", 170, 0),
        ],
    )
    window = {"start_offset_ns": 50 * MILLISECOND, "duration_ns": 70 * MILLISECOND}
    (only,) = steps_of(bag, 30, **window)
    # The latched one as if recorded at the beginning of the window.
    assert sent(only) == [("/tf_static", 50), (COLOR, 110), ("/tf", 130)]


def test_nothing_to_play_ends_even_without_end(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [(COLOR, 0, 0), (COLOR, 300, 300)])
    window = {"start_offset_ns": 100 * MILLISECOND, "duration_ns": 100 * MILLISECOND}
    assert steps_of(bag, 0, loops=0, **window) == []


RECORDS = st.lists(
    st.tuples(
        st.sampled_from([COLOR, DEPTH, "/tf", "/info"]), st.integers(0, 40), st.integers(0, 30)
    ),
    max_size=25,
).map(lambda records: sorted(records, key=lambda record: record[1]))


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, run_ahead_ms=st.sampled_from([0, 3, 100]), loops=st.integers(1, 2))
def test_any_recording_is_sent_whole_and_in_order(
    records: list[tuple[str, int, int]], run_ahead_ms: int, loops: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bag = write(Path(folder, "bag"), records)
        steps = steps_of(bag, run_ahead_ms, loops=loops)
        recorded = list(bag.raw_messages())
    for topic in {message.topic for message in recorded}:
        one = [m for m in recorded if m.topic == topic]
        assert [m for step in steps for m in step.messages if m.topic == topic] == one * loops
    for step in steps:
        images = [m for m in step.messages if m.topic in (COLOR, DEPTH)]
        assert {m.topic for m in images} == step.gated
        assert len(images) == len(step.gated)
        assert all(header_stamp_ns(m.data) == step.stamp_ns for m in images)
    for number in range(loops):
        unsent = [m for m in recorded if m.topic not in (COLOR, DEPTH)]
        moments = [step for step in steps if step.loop == number and step.gated]
        assert [s.recorded_ns for s in moments] == sorted(s.recorded_ns for s in moments)
        for step in moments:
            horizon_ns = step.recorded_ns + run_ahead_ms * MILLISECOND
            due = [m for m in unsent if m.stamp_ns <= horizon_ns]
            assert [m for m in step.messages if m.topic not in (COLOR, DEPTH)] == due
            unsent = unsent[len(due) :]


@pytest.mark.parametrize(
    ("given_input", "gates", "found"),
    [
        ("", {"/depth/points": CLOUD}, "/depth/points"),
        ("", {COLOR: IMAGE, DEPTH: IMAGE, "/cloud": CLOUD}, COLOR),
        (DEPTH, {COLOR: IMAGE, DEPTH: IMAGE}, DEPTH),
    ],
)
def test_an_output_answers_the_obvious_topic(
    given_input: str, gates: dict[str, str], found: str
) -> None:
    assert inputs_of_outputs({"/boxes": given_input}, gates) == {"/boxes": found}


@pytest.mark.parametrize(
    ("given_input", "gates", "text"),
    [
        ("", {"/left": IMAGE, "/right": IMAGE}, "may answer any of /left, /right"),
        ("", {DEPTH: IMAGE, "/cloud": CLOUD}, "--await /boxes=/its/image"),
        ("", {}, "no gated topics"),
        ("/back", {COLOR: IMAGE}, "'/back', which is not gated"),
    ],
)
def test_an_output_whose_topic_is_not_clear_is_refused(
    given_input: str, gates: dict[str, str], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        inputs_of_outputs({"/boxes": given_input}, gates)


def test_a_gated_message_without_a_header_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_raw(COLOR, IMAGE, b"\0\1\0\0", START)
    with pytest.raises(BagError, match="/color cannot be gated"):
        steps_of(BagReader(tmp_path / "bag"))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"outputs": {}}, "name at least one"),
        ({"run_ahead_ns": -1}, "run-ahead"),
        ({"patience_s": 0.0}, "patience 0.0"),
        ({"patience_s": float("nan")}, "patience nan"),
    ],
)
def test_senseless_options_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        LockstepOptions(**{"outputs": {"/boxes": ""}, **values})
