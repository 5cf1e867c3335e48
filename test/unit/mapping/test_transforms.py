"""TransformBuffer: what it answers, what it refuses to answer, and how it says so."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnn_perception.errors import MessageError, TransformError
from cnn_perception.mapping.transforms import TransformBuffer, interpolate
from cnn_perception.types import RigidTransform, StampedTransform

SECOND = 1_000_000_000


def yaw(angle: float, x: float = 0.0) -> RigidTransform:
    half = angle / 2
    return RigidTransform.from_quaternion((x, 0.0, 0.0), (0.0, 0.0, math.sin(half), math.cos(half)))


def edge(parent: str, child: str, seconds: float, x: float = 0.0) -> StampedTransform:
    return StampedTransform(parent, child, round(seconds * SECOND), yaw(0.0, x))


@pytest.fixture
def robot() -> TransformBuffer:
    """map -> odom -> base_link (1 s to 2 s) and a camera and a laser fixed on base_link."""
    buffer = TransformBuffer()
    for second in (1.0, 2.0):
        buffer.add(edge("map", "odom", second, x=10.0))
        buffer.add(edge("odom", "base_link", second, x=second))
    buffer.add(edge("base_link", "camera", 0.0, x=0.1), static=True)
    buffer.add(edge("base_link", "laser", 0.0, x=0.3), static=True)
    return buffer


def test_walks_up_across_and_down(robot: TransformBuffer) -> None:
    assert robot.lookup("map", "camera", 2 * SECOND).translation[0] == pytest.approx(12.1)
    assert robot.lookup("camera", "map", 2 * SECOND).translation[0] == pytest.approx(-12.1)
    assert robot.lookup("laser", "camera", 2 * SECOND).translation[0] == pytest.approx(-0.2)


def test_interpolates_at_the_exact_stamp(robot: TransformBuffer) -> None:
    assert robot.lookup("odom", "camera", 1_250_000_000).translation[0] == pytest.approx(1.35)


def test_siblings_on_static_edges_need_no_motion_above_them(robot: TransformBuffer) -> None:
    assert robot.lookup("laser", "camera", 99 * SECOND).translation[0] == pytest.approx(-0.2)


def test_a_frame_in_itself_is_the_identity_even_when_unknown() -> None:
    np.testing.assert_array_equal(TransformBuffer().lookup("map", "/map", 5).rotation, np.eye(3))


def test_a_leading_slash_is_dropped() -> None:
    buffer = TransformBuffer()
    buffer.add(edge("/map", "/odom", 1.0, x=3.0))
    assert buffer.frames() == ("map", "odom")
    assert buffer.lookup("/map", "/odom", SECOND).translation[0] == 3.0


@pytest.mark.parametrize(
    ("target", "source", "seconds", "text", "retriable"),
    [
        (
            "map",
            "camera_optical_frame",
            12.345,
            "no transform map <- camera_optical_frame at 12.345 s: frame camera_optical_frame is "
            "unknown; known: base_link, camera, laser, map, odom",
            True,
        ),
        (
            "odom",
            "camera",
            2.445,
            "no transform odom <- camera at 2.445 s: newest data for odom -> base_link is 2.000 s "
            "(0.445 s before)",
            True,
        ),
        (
            "odom",
            "camera",
            0.9,
            "no transform odom <- camera at 0.900 s: oldest data for odom -> base_link is 1.000 s "
            "(0.100 s after)",
            False,
        ),
    ],
)
def test_says_what_is_missing(
    robot: TransformBuffer, target: str, source: str, seconds: float, text: str, retriable: bool
) -> None:
    with pytest.raises(TransformError) as caught:
        robot.lookup(target, source, round(seconds * SECOND))
    assert str(caught.value) == text
    assert caught.value.retriable is retriable


def test_an_empty_buffer_says_so() -> None:
    with pytest.raises(TransformError, match="frame camera is unknown; known: none"):
        TransformBuffer().lookup("map", "camera", 0)


def test_two_trees_are_named_by_their_roots(robot: TransformBuffer) -> None:
    robot.add(edge("world", "table", 0.0), static=True)
    with pytest.raises(TransformError, match="two trees, under world and under map") as caught:
        robot.lookup("map", "table", 2 * SECOND)
    assert caught.value.retriable


def test_late_arrivals_are_sorted_in() -> None:
    buffer = TransformBuffer()
    for second in (1.0, 3.0, 2.0):
        buffer.add(edge("map", "odom", second, x=second**2))
    assert buffer.lookup("map", "odom", 1_500_000_000).translation[0] == pytest.approx(2.5)
    assert buffer.jumps == 0


def test_the_later_arrival_of_one_stamp_wins() -> None:
    buffer = TransformBuffer()
    buffer.add(edge("map", "odom", 1.0, x=1.0))
    buffer.add(edge("map", "odom", 1.0, x=2.0))
    assert buffer.lookup("map", "odom", SECOND).translation[0] == 2.0


def test_a_single_sample_answers_for_its_own_stamp_only() -> None:
    buffer = TransformBuffer()
    buffer.add(edge("map", "odom", 1.0))
    buffer.lookup("map", "odom", SECOND)
    for stamp in (SECOND - 1, SECOND + 1):
        with pytest.raises(TransformError):
            buffer.lookup("map", "odom", stamp)


def test_keeps_only_the_horizon() -> None:
    buffer = TransformBuffer(horizon_ns=10 * SECOND)
    for tick in range(3000):
        buffer.add(edge("map", "odom", tick / 10))
    buffer.lookup("map", "odom", round(289.95 * SECOND))
    with pytest.raises(TransformError, match="oldest data") as caught:
        buffer.lookup("map", "odom", round(289.85 * SECOND))
    assert not caught.value.retriable


def test_a_frame_may_change_its_parent() -> None:
    buffer = TransformBuffer()
    buffer.add(edge("hand", "cup", 1.0, x=1.0))
    buffer.add(edge("table", "cup", 2.0, x=2.0))
    assert buffer.lookup("hand", "cup", SECOND).translation[0] == 1.0
    assert buffer.lookup("table", "cup", 2 * SECOND).translation[0] == 2.0
    with pytest.raises(TransformError, match="moved from parent hand to table") as caught:
        buffer.lookup("table", "cup", 1_500_000_000)
    assert not caught.value.retriable


def test_static_and_moving_replace_each_other() -> None:
    buffer = TransformBuffer()
    buffer.add(edge("map", "odom", 1.0, x=1.0))
    buffer.add(edge("map", "odom", 0.0, x=2.0), static=True)
    assert buffer.lookup("map", "odom", 7 * SECOND).translation[0] == 2.0
    buffer.add(edge("map", "odom", 9.0, x=3.0))
    assert buffer.lookup("map", "odom", 9 * SECOND).translation[0] == 3.0
    with pytest.raises(TransformError):
        buffer.lookup("map", "odom", 7 * SECOND)


@pytest.mark.parametrize(
    ("parent", "child", "text"),
    [
        ("camera", "map", r"closes a loop of frames \(map -> odom -> base_link -> camera -> map\)"),
        ("camera", "camera", "places a frame in itself"),
        ("/", "camera", "empty frame name"),
    ],
)
def test_refuses_what_is_no_tree(
    robot: TransformBuffer, parent: str, child: str, text: str
) -> None:
    with pytest.raises(MessageError, match=text) as caught:
        robot.add(edge(parent, child, 2.0))
    assert caught.value.reason == "bad_transform"
    assert robot.lookup("map", "camera", 2 * SECOND).translation[0] == pytest.approx(12.1)


def test_refuses_values_that_are_not_finite() -> None:
    pose = RigidTransform(np.eye(3), np.array([0.0, np.nan, 0.0]))
    with pytest.raises(MessageError, match="not finite"):
        TransformBuffer().add(StampedTransform("map", "odom", 0, pose))


def test_a_jump_back_forgets_motion_and_keeps_statics(robot: TransformBuffer) -> None:
    robot.add(edge("odom", "base_link", 60.0, x=60.0))
    robot.add(edge("odom", "base_link", 1.0, x=1.0))
    assert robot.jumps == 1
    assert robot.lookup("odom", "camera", SECOND).translation[0] == pytest.approx(1.1)
    with pytest.raises(TransformError):
        robot.lookup("map", "odom", SECOND)


def test_small_disorder_between_publishers_is_no_jump(robot: TransformBuffer) -> None:
    robot.add(edge("map", "odom", 2.5))
    robot.add(edge("map", "odom", 0.6))
    robot.add(edge("odom", "base_link", 1.5, x=5.0))
    assert robot.jumps == 0
    assert robot.lookup("odom", "base_link", 1_500_000_000).translation[0] == 5.0


def test_every_loop_of_a_recording_gives_equal_answers() -> None:
    buffer = TransformBuffer()
    answers = []
    for _ in range(3):
        for tick in range(40):
            buffer.add(edge("map", "odom", tick / 10, x=math.sin(tick)))
        stamps = range(0, 3 * SECOND, SECOND // 13)
        answers.append([buffer.lookup("map", "odom", t).translation[0] for t in stamps])
    assert buffer.jumps == 2
    assert answers[0] == answers[1] == answers[2]


def test_clear_keeps_statics(robot: TransformBuffer) -> None:
    robot.clear()
    assert robot.frames() == ("base_link", "camera", "laser")


def test_many_threads_share_one_buffer() -> None:
    buffer = TransformBuffer()
    children = ("a", "b")

    def publish(child: str) -> None:
        for tick in range(300):
            buffer.add(edge("map", child, tick / 100, x=tick / 100))

    def positions(child: str) -> list[float]:
        found: list[float] = []
        while len(found) < 300:
            try:
                pose = buffer.lookup("map", child, len(found) * SECOND // 100)
            except TransformError as error:
                assert error.retriable
            else:
                found.append(float(pose.translation[0]))
        return found

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(positions, child) for child in children]
        writers = [pool.submit(publish, child) for child in children]
        for writer in writers:
            writer.result(timeout=60.0)
        for reader in readers:
            assert reader.result(timeout=60.0) == pytest.approx([t / 100 for t in range(300)])


def test_interpolation_takes_the_shorter_arc() -> None:
    halfway = interpolate(yaw(math.radians(170)), yaw(math.radians(-170)), 0.5)
    np.testing.assert_allclose(halfway.rotation, yaw(math.pi).rotation, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 1e-4, 1.0, math.pi - 1e-6])
def test_interpolation_turns_evenly(angle: float) -> None:
    for fraction in (0.0, 0.25, 1.0):
        blended = interpolate(yaw(0.2), yaw(0.2 + angle), fraction)
        np.testing.assert_allclose(
            blended.rotation, yaw(0.2 + fraction * angle).rotation, atol=1e-9
        )
