"""What was found in an image leaves with the nearest depth of its moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
import recorded_robot as robot
from cnn_perception.components.component import Done, Event, Output, Setup
from cnn_perception.components.detector import DetectorComponent
from cnn_perception.messages.frame import Frame


class Camera:
    """A detector with depth, the inputs of which are called by name."""

    def __init__(self, folder: Path, **values: Any) -> None:
        model = str(models.write_detector_bundle(folder / "detector"))
        told = {"model": model, "use_depth": True, "depth_timeout": 1.0, **values}
        values = DetectorComponent.parameters.complete(told)
        setup = Setup("detector", values, robot.encode, reads=lambda topic: False)
        self.component = DetectorComponent(setup)
        self._takes = {each.name: each.take for each in self.component.inputs()}

    def send(self, name: str, message: Any, came: float) -> list[float]:
        """Hand in a message; return the stamps of the 3D boxes that follow."""
        frame = Frame(message, name, robot.at(came))
        return self.boxes(self._takes[name](frame))

    def image(self, seconds: float, came: float | None = None) -> list[float]:
        picture = robot.color(seconds, robot.picture(red=(1, 1)))
        return self.send("image", picture, seconds if came is None else came)

    def depth(self, seconds: float, metres: float = 2.0) -> list[float]:
        return self.send("depth/image", robot.depth(seconds, metres), seconds)

    def later(self, seconds: float) -> list[float]:
        return self.boxes(self.component.advance(robot.at(seconds)))

    @property
    def without_depth(self) -> int:
        count: int = self.component.describe()["without_depth"]
        return count

    @staticmethod
    def boxes(events: Any) -> list[float]:
        made: list[Event] = list(events)
        assert all(isinstance(event, Output | Done) for event in made)
        boxes = [e.message for e in made if isinstance(e, Output) and "3d" in e.topic]
        return robot.seconds_of(boxes)


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    camera = Camera(tmp_path)
    camera.send("depth/camera_info", robot.info(0.0), 0.0)
    return camera


def test_the_nearest_depth_once_a_later_one_is_there(camera: Camera) -> None:
    camera.depth(0.99, 1.0)
    assert camera.image(1.0) == []
    assert camera.component.deadline_ns == robot.at(2.0)
    events = list(
        camera._takes["depth/image"](Frame(robot.depth(1.005, 3.0), "depth/image", robot.at(1.005)))
    )
    (box,) = (e.message for e in events if isinstance(e, Output))
    assert box.detections[0].bbox.center.position.z == pytest.approx(3.0, abs=0.01)
    assert camera.component.deadline_ns is None


def test_depth_beyond_the_slop_is_none(camera: Camera) -> None:
    camera.image(1.0)
    assert camera.depth(1.021) == []
    assert camera.without_depth == 1


def test_patience_ends(camera: Camera) -> None:
    camera.image(1.0)
    camera.depth(0.985)
    assert camera.later(1.999) == []
    assert camera.later(2.0) == [1.0]


def test_the_end_of_a_recording_ends_patience(camera: Camera) -> None:
    camera.image(1.0)
    camera.image(1.1)
    camera.depth(0.99)
    assert camera.boxes(camera.component.finish()) == [1.0]
    assert camera.without_depth == 1


def test_without_camera_info_nothing_is_lifted(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.image(1.0)
    assert camera.depth(1.0) == camera.later(1.5) == camera.later(2.0) == []
    assert camera.without_depth == 1


def test_depth_of_the_old_time_is_forgotten(camera: Camera) -> None:
    for seconds in (1.0, 5.0):
        camera.depth(seconds)
    assert camera.boxes(camera.component.rewind(robot.at(1.0))) == []
    assert camera.image(1.01, came=6.0) == []  # that of 5 s would be later, and is of another time
    assert camera.boxes(camera.component.finish()) == [1.01]


def test_depth_of_half_the_size_gives_the_same_boxes(tmp_path: Path) -> None:
    """Registered depth of another resolution shows the same field of view."""
    centers = []
    for name, size in (("same", (320, 240)), ("half", (160, 120))):
        camera = Camera(tmp_path / name)
        camera.send("depth/camera_info", robot.info(1.0, size), 1.0)
        picture = robot.color(1.0, robot.picture(320, 240, red=(1, 1)))
        camera.send("image", picture, 1.0)
        depth = Frame(robot.depth(1.0, size=size), "depth/image", robot.at(1.0))
        (output,) = camera._takes["depth/image"](depth)
        assert isinstance(output, Output)
        place = output.message.detections[0].bbox.center.position
        centers.append((place.x, place.y, place.z))
    np.testing.assert_allclose(centers[0], centers[1], atol=0.02)


@pytest.mark.parametrize(
    ("depth", "info"),
    [
        (robot.depth(1.0, size=(32, 40)), robot.info(1.0, (32, 40))),
        (robot.depth(1.0, frame_id="elsewhere"), robot.info(1.0, frame_id="elsewhere")),
        (robot.depth(1.0), robot.info(1.0, frame_id="another")),
    ],
    ids=["another shape", "not registered", "another camera"],
)
def test_depth_that_does_not_fit_the_image_gives_no_boxes(
    tmp_path: Path, depth: Any, info: Any
) -> None:
    camera = Camera(tmp_path)
    camera.send("depth/camera_info", info, 1.0)
    camera.image(1.0)
    assert camera.send("depth/image", depth, 1.0) == []
    assert camera.without_depth == 1
