"""Detections leave with the depth of their moment, in recorded time."""

from __future__ import annotations

import numpy as np
import pytest

import recorded_robot as robot
from cnn_perception.recording.bag import BagMessage
from cnn_perception.replay.nodes.depth_pairs import DepthPairs
from cnn_perception.types import Detections
from recorded_robot import COLOR, DEPTH, INFO, SECOND

NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))


def item(topic: str, seconds: float, recorded: float | None = None) -> BagMessage:
    make = {COLOR: robot.color, DEPTH: robot.depth, INFO: robot.info}[topic]
    message = make(seconds)
    when = robot.at(seconds if recorded is None else recorded)
    return BagMessage(topic, message.__msgtype__, message, when)


@pytest.fixture
def pairs() -> DepthPairs:
    found = DepthPairs(DEPTH, INFO, slop_s=0.02, patience_ns=SECOND)
    found.add(item(INFO, 0.0))
    return found


def ready(pairs: DepthPairs, seconds: float | None) -> list[tuple[float, float | None]]:
    """Return the stamps of what leaves, and of its depth."""
    now_ns = None if seconds is None else robot.at(seconds)
    return [
        (
            robot.seconds_of([image.message])[0],
            None if depth is None else robot.seconds_of([depth])[0],
        )
        for image, _, depth, _ in pairs.ready(now_ns)
    ]


def test_the_nearest_depth_once_a_later_one_is_there(pairs: DepthPairs) -> None:
    pairs.add(item(DEPTH, 0.99))
    pairs.wait(item(COLOR, 1.0), NOTHING)
    assert ready(pairs, 1.0) == []
    pairs.add(item(DEPTH, 1.005))
    assert ready(pairs, 1.01) == [(1.0, 1.005)]
    assert ready(pairs, 1.02) == []


def test_depth_beyond_the_slop_is_none(pairs: DepthPairs) -> None:
    pairs.wait(item(COLOR, 1.0), NOTHING)
    pairs.add(item(DEPTH, 1.021))
    assert ready(pairs, 1.03) == [(1.0, None)]


def test_patience_ends(pairs: DepthPairs) -> None:
    pairs.wait(item(COLOR, 1.0), NOTHING)
    pairs.add(item(DEPTH, 0.985))
    assert ready(pairs, 1.999) == []
    assert ready(pairs, 2.0) == [(1.0, 0.985)]


def test_the_end_of_the_bag_ends_patience(pairs: DepthPairs) -> None:
    pairs.wait(item(COLOR, 1.0), NOTHING)
    pairs.wait(item(COLOR, 1.1), NOTHING)
    pairs.add(item(DEPTH, 0.99))
    assert ready(pairs, None) == [(1.0, 0.99), (1.1, None)]


def test_without_camera_info_nothing_is_complete() -> None:
    pairs = DepthPairs(DEPTH, INFO, slop_s=0.02, patience_ns=SECOND)
    pairs.wait(item(COLOR, 1.0), NOTHING)
    pairs.add(item(DEPTH, 1.0))
    assert ready(pairs, 1.5) == []
    ((_, _, depth, camera),) = pairs.ready(robot.at(2.0))
    assert depth is not None
    assert camera is None


def test_depth_of_the_old_time_is_forgotten(pairs: DepthPairs) -> None:
    for seconds in (1.0, 5.0):
        pairs.add(item(DEPTH, seconds))
    pairs.rewind(robot.at(1.0))
    pairs.wait(item(COLOR, 1.01, recorded=6.0), NOTHING)
    assert ready(pairs, 6.0) == []  # that of 5 s would be later, and is of another time
    assert ready(pairs, None) == [(1.01, 1.0)]
