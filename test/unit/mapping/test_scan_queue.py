"""Scans wait for transforms and camera_infos: in order, for so long, and no sensor for another."""

from __future__ import annotations

import numpy as np
import pytest

import recorded_robot as robot
from cnn_perception.errors import MessageError, TransformError
from cnn_perception.mapping.scan_queue import QueuedScan, ScanQueue
from cnn_perception.mapping.scans import CloudScan, DepthScan
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.frame import Frame
from cnn_perception.types import RigidTransform, StampedTransform
from recorded_robot import SECOND

PATIENCE_NS = SECOND


class Sensors:
    """A camera and a lidar, whose scans wait in one queue."""

    def __init__(self, limit: int | None = None) -> None:
        self.buffer = TransformBuffer()
        sensors = {"camera": True, "lidar": False}
        self.queue = ScanQueue(sensors, self.buffer, "map", lambda: PATIENCE_NS, limit=limit)

    def move(self, frame_id: str, seconds: float) -> None:
        pose = RigidTransform(np.eye(3), np.array([seconds, 0.0, 0.0]))
        self.buffer.add(StampedTransform("map", frame_id, robot.at(seconds), pose))

    def image(self, seconds: float, came: float | None = None) -> list[QueuedScan]:
        return self._add("camera", robot.depth(seconds), seconds if came is None else came)

    def cloud(self, seconds: float) -> list[QueuedScan]:
        header = robot.header(seconds, "lidar")
        message = robot.encode.point_cloud(header, np.ones((4, 3), np.float32))
        return self._add("lidar", message, seconds)

    def info(self, seconds: float) -> None:
        self.queue.add_info("camera", robot.info(seconds))

    def left(self, seconds: float | None) -> list[tuple[str, float, str]]:
        """Return sensor, stamp and fate of what leaves at a time; None: at the end."""
        now_ns = None if seconds is None else robot.at(seconds)
        return [told(each) for each in self.queue.leaving(now_ns)]

    def _add(self, sensor: str, message: object, came: float) -> list[QueuedScan]:
        return list(self.queue.add(sensor, Frame(message, sensor, robot.at(came))))


def told(queued: QueuedScan) -> tuple[str, float, str]:
    seconds = (queued.header.stamp_ns - robot.START_NS) / SECOND
    if queued.error is None:
        assert isinstance(queued.scan, DepthScan if queued.sensor == "camera" else CloudScan)
        return queued.sensor, seconds, "placed"
    assert queued.scan is None
    reason = queued.error.reason
    return queued.sensor, seconds, reason


def test_a_sensor_without_transforms_keeps_no_other_waiting() -> None:
    sensors = Sensors()
    for seconds in (1.0, 2.0):
        sensors.move("lidar", seconds)
    sensors.info(1.0)
    sensors.image(1.0)
    sensors.cloud(1.1)
    sensors.cloud(1.2)
    assert sensors.left(1.3) == [("lidar", 1.1, "placed"), ("lidar", 1.2, "placed")]
    assert sensors.queue.deadline_ns == robot.at(2.0)
    assert sensors.left(1.999) == []
    assert sensors.left(2.0) == [("camera", 1.0, "no_transform")]
    assert sensors.queue.deadline_ns is None


def test_scans_that_become_ready_together_leave_as_they_came() -> None:
    sensors = Sensors()
    for seconds in (1.0, 1.2):
        sensors.info(seconds)
    sensors.image(1.0)
    sensors.cloud(1.1)
    sensors.image(1.2)
    assert sensors.left(1.3) == []
    for frame_id in ("camera", "lidar"):
        for seconds in (1.0, 2.0):
            sensors.move(frame_id, seconds)
    expected = [("camera", 1.0, "placed"), ("lidar", 1.1, "placed"), ("camera", 1.2, "placed")]
    assert sensors.left(1.4) == expected


def test_camera_infos_are_waited_for_where_each_image_has_one() -> None:
    sensors = Sensors()
    for seconds in (1.0, 9.0):
        sensors.move("camera", seconds)
    sensors.image(1.0)
    assert sensors.left(1.05) == []  # for any at all
    sensors.info(1.0)
    assert sensors.left(1.1) == [("camera", 1.0, "placed")]
    sensors.image(1.2)
    assert sensors.left(1.25) == []  # for its own
    sensors.info(1.3)
    assert sensors.left(1.3) == [("camera", 1.2, "placed")]  # that has none: the nearest
    sensors.image(1.4)
    assert sensors.left(1.4) == [("camera", 1.4, "placed")]  # and the next waits for none
    sensors.image(8.0)
    assert sensors.left(8.0) == [("camera", 8.0, "placed")]


def test_no_camera_info_at_all_and_the_end() -> None:
    sensors = Sensors()
    for seconds in (1.0, 2.0):
        sensors.move("camera", seconds)
    sensors.image(1.0)
    sensors.image(1.5)
    assert sensors.left(2.0) == [("camera", 1.0, "no_match")]
    assert sensors.left(None) == [("camera", 1.5, "no_match")]


def test_only_so_many_wait_and_the_oldest_gives_way() -> None:
    sensors = Sensors(limit=2)
    assert sensors.cloud(1.0) == sensors.cloud(1.1) == []
    (lost,) = sensors.cloud(1.2)
    assert told(lost) == ("lidar", 1.0, "waited_too_long")
    assert [frame.header.stamp_ns for frame in sensors.queue.clear()] == [
        robot.at(1.1),
        robot.at(1.2),
    ]


def test_scans_of_the_time_before_are_lost_when_it_goes_back() -> None:
    sensors = Sensors()
    sensors.cloud(5.0)
    sensors.cloud(1.0)
    assert [told(each) for each in sensors.queue.rewind(robot.at(1.0))] == [
        ("lidar", 5.0, "time_went_back")
    ]
    for seconds in (0.5, 1.5):
        sensors.move("lidar", seconds)
    assert sensors.left(5.0) == [("lidar", 1.0, "placed")]


def test_what_is_wrong_with_a_scan_is_said_before_its_transform() -> None:
    sensors = Sensors()
    sensors.info(1.0)
    image = robot.depth(1.0)
    image.data = image.data[:-1]
    list(sensors.queue.add("camera", Frame(image, "camera", robot.at(1.0))))
    (left,) = sensors.queue.leaving(robot.at(2.0))
    assert isinstance(left.error, MessageError)
    assert left.error.reason == "truncated_data"


def test_a_place_that_can_never_be_known_is_not_waited_for() -> None:
    sensors = Sensors()
    for seconds in (3.0, 4.0):
        sensors.move("lidar", seconds)
    sensors.cloud(1.0)
    (left,) = sensors.queue.leaving(robot.at(1.0))
    assert isinstance(left.error, TransformError)
    assert left.error.edge == "map <- lidar"


@pytest.mark.parametrize("frame_id", ["", "camera"])
def test_a_frame_of_another_camera_info_is_refused(frame_id: str) -> None:
    sensors = Sensors()
    for seconds in (1.0, 2.0):
        sensors.move("camera", seconds)
    sensors.queue.add_info("camera", robot.info(1.0, frame_id=frame_id))
    sensors.image(1.0)
    assert sensors.left(1.0) == [("camera", 1.0, "placed")]
    sensors.queue.add_info("camera", robot.info(1.5, frame_id="another"))
    sensors.image(1.5)
    assert sensors.left(1.5) == [("camera", 1.5, "frame_mismatch")]
