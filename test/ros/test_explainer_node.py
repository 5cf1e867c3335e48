"""The explainer node: what it is asked, how often it works, and what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from cnn_perception_msgs.srv import Explain
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.explainer import ExplainerComponent
from cnn_perception.components.segmenter import SegmenterComponent
from cnn_perception.ros.encode import encode
from cnn_perception.runtime.inference import InferencePool

PICTURE = models.paint({(1, 5): "red", (4, 1): (0, 220, 0), (3, 3): (200, 0, 0)})


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(models.write_detector_bundle(tmp_path / "detector"))


def picture(nanoseconds: int, pixels: Any = PICTURE) -> Image:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = divmod(nanoseconds, 10**9)
    return encode.image(header, pixels)


def labels_of(message: Detection2DArray) -> list[str]:
    return [d.results[0].hypothesis.class_id for d in message.detections]


def corners_of(detection: Any) -> tuple[float, float, float, float]:
    x, y = detection.bbox.center.position.x, detection.bbox.center.position.y
    width, height = detection.bbox.size_x, detection.bbox.size_y
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def test_several_answers_and_their_evidence(stage, model) -> None:
    node = stage.running(
        ExplainerComponent, "explainer", model=model, max_answers=9, budget_ms=10000.0
    )
    explained = stage.hear(Detection2DArray, "explainer/explained")
    evidence = stage.hear(Detection2DArray, "explainer/evidence")
    stage.linked(node, "~/explained", "~/evidence")
    sent = picture(7)
    stage.speak(Image, "image").publish(sent)
    stage.until(lambda: explained and evidence)
    assert explained[0].header == evidence[0].header == sent.header
    assert labels_of(explained[0]) == labels_of(evidence[0]) == ["red", "green", "red"]
    for detection, cell in zip(evidence[0].detections, ((1, 5), (4, 1)), strict=False):
        x0, y0, x1, y1 = corners_of(detection)
        left, top, right, bottom = models.cell_box(*cell)
        assert x0 < (left + right) / 2 < x1 and y0 < (top + bottom) / 2 < y1


def test_a_budget_that_is_too_small_is_told(stage, model) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=model, max_answers=9, budget_ms=0.0)
    explained = stage.hear(Detection2DArray, "explainer/explained")
    stage.linked(node, "~/explained")
    stage.speak(Image, "image").publish(picture(7))
    stage.until(lambda: explained)
    assert labels_of(explained[0]) == ["red"]
    assert node.component.describe()["left_out"] == 2


def test_a_region_by_parameter(stage, model) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=model)
    explained = stage.hear(Detection2DArray, "explainer/explained")
    stage.linked(node, "~/explained")
    camera = stage.speak(Image, "image")
    x0, y0, x1, y1 = models.cell_box(4, 1)
    for value in ([x0 + 5, y0 + 5], [x0, y0, x1, y1]):
        assert node.set_parameters([Parameter("region", value=value)])[0].successful
        camera.publish(picture(len(explained)))
        before = len(explained)
        stage.until(lambda before=before: len(explained) > before)
        assert labels_of(explained[-1]) == ["green"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("region", [1.0, 2.0, 3.0], r"region = [1.0, 2.0, 3.0]: give a point"),
        ("target_class", "pink", "target_class = 'pink' is no label of detector"),
        ("method", "gradcam++", "method = 'gradcam++': the explain graphs of detector have no"),
        ("method", "magic", "method = 'magic': choose one of gradcam, gradcam++"),
    ],
)
def test_bad_questions_are_refused_with_the_reason(stage, model, name, value, reason) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=model)
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    assert result.reason.startswith(reason)


def test_what_nobody_reads_is_not_explained(stage, model) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=model)
    camera = stage.speak(Image, "image")
    camera.publish(picture(1))
    assert stage.settled(node, 1).dropped == {"unread": 1}
    heatmaps = stage.hear(Image, "explainer/heatmap")
    stage.linked(node, "~/heatmap")
    camera.publish(picture(2))
    stage.until(lambda: heatmaps)
    assert stage.settled(node, 2).processed == 1


@pytest.mark.parametrize(
    ("jitter_ns", "expected"), [(0, [0, 2, 4, 6, 8]), (5_000_000, [0, 2, 4, 6, 8])]
)
def test_the_rate_is_that_of_the_stamps(stage, model, jitter_ns, expected) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=model, max_rate=5.0)
    explained = stage.hear(Detection2DArray, "explainer/explained")
    stage.linked(node, "~/explained")
    camera = stage.speak(Image, "image")
    start = 10**9
    for index in range(10):  # ten images per second, some a little early
        camera.publish(picture(start + index * 10**8 - (index % 4 == 2) * jitter_ns))
        stage.settled(node, index + 1)
    stage.until(lambda: len(explained) == len(expected))
    tenths = [
        round((m.header.stamp.sec - 1) * 10 + m.header.stamp.nanosec / 1e8) for m in explained
    ]
    assert tenths == expected
    assert stage.settled(node, 10).dropped == {"rate_limited": 5}
    # A loop of the recording starts anew.
    camera.publish(picture(start))
    stage.until(lambda: len(explained) == len(expected) + 1)


def test_the_service_answers_for_the_newest_image(stage, model) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=model)
    name = "explainer/explain"
    answer = stage.call(Explain, name, Explain.Request())
    assert not answer.success
    assert answer.message == "no image came yet: publish one on the topic image"
    sent = picture(3)
    stage.speak(Image, "image").publish(sent)
    stage.settled(node, 1)
    x0, y0, x1, y1 = models.cell_box(3, 3)
    answer = stage.call(Explain, name, Explain.Request(region=[(x0 + x1) / 2, (y0 + y1) / 2]))
    assert (answer.success, answer.message) == (True, "")
    assert answer.header == answer.heatmap.header == sent.header
    assert answer.class_ids == ["red"]
    assert answer.scores[0] == pytest.approx(models.score_of(200), abs=1e-4)
    box = answer.boxes[0]
    found = (box.x_offset, box.y_offset, box.width, box.height)
    assert found == pytest.approx((x0, y0, x1 - x0, y1 - y0), abs=2)
    heat = np.frombuffer(answer.heatmap.data, np.float32).reshape(480, 640)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    assert y0 <= row <= y1 and x0 <= column <= x1
    assert answer.evidence[0].width > 0
    answer = stage.call(Explain, name, Explain.Request(class_id="green", max_answers=5))
    assert answer.class_ids == ["green"]
    answer = stage.call(Explain, name, Explain.Request(class_id="blue"))
    assert (answer.success, answer.class_ids) == (True, [])
    answer = stage.call(Explain, name, Explain.Request(class_id="pink"))
    assert (answer.success, answer.class_ids) == (False, [])
    assert "target_class = 'pink' is no label of detector" in answer.message
    # The parameters are as they were.
    assert node.component.core.config.target_class == ""


def test_a_malformed_newest_image_is_refused_by_the_service(stage, model) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=model)
    broken = picture(3)
    broken.data = broken.data[:100]
    stage.speak(Image, "image").publish(broken)
    stage.settled(node, 1)
    answer = stage.call(Explain, "explainer/explain", Explain.Request())
    assert not answer.success and "100" in answer.message


def test_one_network_for_two_nodes(stage, model) -> None:
    networks = InferencePool()
    detector = stage.node(DetectorComponent, "detector", networks=networks, model=model)
    explainer = stage.node(ExplainerComponent, "explainer", networks=networks, model=model)
    assert detector.start() and explainer.start()
    assert detector.component.core.infer.session is explainer.component.core.infer.session
    found = stage.hear(Detection2DArray, "detector/detections")
    explained = stage.hear(Detection2DArray, "explainer/explained")
    stage.linked(detector, "~/detections")
    stage.linked(explainer, "~/explained")
    camera = stage.speak(Image, "image")
    assert camera.get_subscription_count() == 1  # of both, in one process
    camera.publish(picture(4))
    stage.until(lambda: found and explained)
    best = found[0].detections[0]
    assert corners_of(explained[0].detections[0]) == corners_of(best)


def test_masks_are_explained_by_their_regions(stage, tmp_path) -> None:
    folder = models.write_segmenter_bundle(tmp_path / "areas", explain=True)
    networks = InferencePool()
    node = stage.node(ExplainerComponent, "explainer", networks=networks, model=str(folder))
    masks = stage.node(SegmenterComponent, "segmenter", networks=networks, model=str(folder))
    assert node.start() and masks.start()
    explained = stage.hear(Detection2DArray, "explainer/explained")
    stage.linked(node, "~/explained")
    stage.speak(Image, "image").publish(picture(5, models.paint({(1, 5): "red"})))
    stage.until(lambda: explained)
    assert labels_of(explained[0]) == ["red"]
    x0, y0, x1, y1 = models.cell_box(1, 5)
    assert corners_of(explained[0].detections[0]) == pytest.approx((x0, y0, x1, y1), abs=41)
