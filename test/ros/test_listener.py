"""What one thread takes for all nodes of a process: each topic once, decoded once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import models

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.segmenter import SegmenterComponent
from cnn_perception.messages import frame as frames
from cnn_perception.ros.encode import encode


def picture(seconds: int) -> Image:
    header = Header(frame_id="camera")
    header.stamp.sec = seconds
    return encode.image(header, models.paint({(1, 1): "red"}, width=64, height=48))


@pytest.fixture
def nodes(stage: Any, tmp_path: Path) -> tuple[Any, Any]:
    """A detector and a segmenter in one process."""
    detector = str(models.write_detector_bundle(tmp_path / "detector"))
    segmenter = str(models.write_segmenter_bundle(tmp_path / "segmenter"))
    return (
        stage.running(DetectorComponent, "detector", model=detector),
        stage.running(SegmenterComponent, "segmenter", model=segmenter),
    )


def test_a_topic_is_subscribed_and_decoded_once(
    stage: Any, nodes: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Any] = []
    decode = frames.decode_color

    def counted(message: Any) -> Any:
        decoded.append(message)
        return decode(message)

    monkeypatch.setattr(frames, "decode_color", counted)
    camera = stage.speak(Image, "image")
    for seconds in (1, 2, 3):
        camera.publish(picture(seconds))
        for node in nodes:
            assert stage.settled(node, seconds).processed == seconds
    assert camera.get_subscription_count() == 1
    assert [message.header.stamp.sec for message in decoded] == [1, 2, 3]


def test_a_subscription_goes_over_to_those_who_still_read(
    stage: Any, nodes: tuple[Any, Any]
) -> None:
    first, second = nodes
    camera = stage.speak(Image, "image")
    camera.publish(picture(1))
    for node in nodes:
        stage.settled(node, 1)
    first.trigger_deactivate()
    stage.until(lambda: camera.get_subscription_count() == 1)

    def answered() -> bool:
        camera.publish(picture(2))  # again, until the new subscription is known
        return bool(second.statistics.snapshot().processed > 1)

    stage.until(answered)
    assert first.statistics.snapshot().received == 1
    first.trigger_activate()
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(first, "~/detections")
    camera.publish(picture(3))
    stage.until(lambda: found and found[-1].header.stamp.sec == 3)
    assert camera.get_subscription_count() == 1
    second.trigger_deactivate()
    first.trigger_deactivate()
    stage.until(lambda: camera.get_subscription_count() == 0)


def test_a_component_speaks_of_itself_on_the_thread_that_works(stage: Any, tmp_path: Path) -> None:
    """What it says is not changed by a frame meanwhile, however many cameras there are."""
    threads: list[str] = []

    class Told(DetectorComponent):
        def describe(self) -> dict[str, Any]:
            threads.append(threading.current_thread().name)
            return super().describe()

    model = str(models.write_detector_bundle(tmp_path / "detector"))
    node = stage.running(Told, "told", model=model)
    threads.clear()
    stage.until(lambda: len(threads) > 1)
    assert set(threads) == {node.get_name()}
