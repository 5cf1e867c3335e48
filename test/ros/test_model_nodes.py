"""Detector, segmenter and explainer nodes: message contents, headers, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Classification, Detection2DArray, Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.explainer import ExplainerComponent
from cnn_perception.components.segmenter import SegmenterComponent
from cnn_perception.image.codec import encode_png
from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import LATCHED


def header(seconds: float, frame_id: str = "camera_optical_frame") -> Header:
    message = Header(frame_id=frame_id)
    message.stamp.sec, message.stamp.nanosec = int(seconds), int(seconds % 1 * 1e9)
    return message


def picture(seconds: float, pixels: Any) -> Image:
    return encode.image(header(seconds), pixels)


def pixels_of(message: Image, dtype: type, channels: int = 1) -> Any:
    shape = (message.height, message.width, channels)
    return np.frombuffer(message.data, dtype).reshape(shape).squeeze()


@pytest.fixture
def detector_model(tmp_path: Path) -> str:
    return str(models.write_detector_bundle(tmp_path / "detector"))


def test_detections_carry_labels_boxes_scores_and_the_header(stage, detector_model) -> None:
    node = stage.running(DetectorComponent, "detector", model=detector_model)
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    sent = picture(7.25, models.paint({(1, 2): "red", (4, 6): "green"}))
    stage.speak(Image, "image").publish(sent)
    stage.until(lambda: found)
    assert found[0].header == sent.header
    by_label = {d.results[0].hypothesis.class_id: d for d in found[0].detections}
    assert sorted(by_label) == ["green", "red"]
    for label, cell in (("red", (1, 2)), ("green", (4, 6))):
        detection = by_label[label]
        assert detection.header == sent.header
        assert detection.results[0].hypothesis.score == pytest.approx(
            models.score_of(255), abs=1e-4
        )
        x0, y0, x1, y1 = models.cell_box(*cell)
        box = detection.bbox
        centre = (box.center.position.x, box.center.position.y)
        assert centre == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2), abs=0.5)
        assert (box.size_x, box.size_y) == pytest.approx((x1 - x0, y1 - y0), abs=0.5)


def test_an_image_without_objects_gives_an_empty_array(stage, detector_model) -> None:
    node = stage.running(DetectorComponent, "detector", model=detector_model)
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    sent = picture(1.5, models.paint({}))
    stage.speak(Image, "image").publish(sent)
    stage.until(lambda: found)
    assert (found[0].header, found[0].detections) == (sent.header, [])


def test_a_late_reader_gets_the_labels(stage, detector_model) -> None:
    stage.running(DetectorComponent, "detector", model=detector_model)
    labels = stage.hear(LabelInfo, "detector/label_info", LATCHED)
    stage.until(lambda: labels)
    names = {c.class_id: c.class_name for c in labels[0].class_map}
    assert names == dict(enumerate(models.LABELS))
    assert labels[0].threshold == pytest.approx(0.5)


def test_compressed_images_arrive_under_the_base_topic_remapped(stage, detector_model) -> None:
    node = stage.running(
        DetectorComponent,
        "detector",
        "-r",
        "image:=camera/color",
        model=detector_model,
        image_transport="compressed",
    )
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    sent = CompressedImage(header=header(3.0), format="png")
    sent.data = encode_png(models.paint({(0, 0): "red"}))
    stage.speak(CompressedImage, "camera/color/compressed").publish(sent)
    stage.until(lambda: found)
    assert found[0].header == sent.header
    assert [d.results[0].hypothesis.class_id for d in found[0].detections] == ["red"]


def test_overlays_are_drawn_only_for_a_reader(stage, detector_model) -> None:
    node = stage.running(DetectorComponent, "detector", model=detector_model)
    camera = stage.speak(Image, "image")
    image = models.paint({(2, 3): "red"})
    camera.publish(picture(1.0, image))
    stage.settled(node, 1)
    overlays = stage.hear(Image, "detector/overlay")
    stage.linked(node, "~/overlay")
    camera.publish(picture(2.0, image))
    stage.until(lambda: overlays)
    assert [o.header.stamp.sec for o in overlays] == [2]
    assert (overlays[0].encoding, overlays[0].width, overlays[0].height) == ("rgb8", 640, 480)
    assert (pixels_of(overlays[0], np.uint8, 3) != image).any()


def test_the_threshold_changes_between_two_images(stage, detector_model) -> None:
    node = stage.running(DetectorComponent, "detector", model=detector_model)
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    camera = stage.speak(Image, "image")
    weak = models.paint({(1, 1): (150, 0, 0)})
    camera.publish(picture(1.0, weak))
    stage.until(lambda: len(found) == 1)
    from rclpy.parameter import Parameter

    score = models.score_of(150)
    assert node.set_parameters([Parameter("score_threshold", value=score + 0.05)])[0].successful
    camera.publish(picture(2.0, weak))
    stage.until(lambda: len(found) == 2)
    assert [len(f.detections) for f in found] == [1, 0]


def test_boxes_in_space_come_from_the_depth_of_the_same_moment(stage, detector_model) -> None:
    node = stage.running(DetectorComponent, "detector", model=detector_model, use_depth=True)
    found = stage.hear(Detection3DArray, "detector/detections_3d")
    markers = stage.hear(MarkerArray, "detector/markers")
    stage.linked(node, "~/detections_3d", "~/markers")
    camera, depth_camera = stage.speak(Image, "image"), stage.speak(Image, "depth/image")
    info = CameraInfo(header=header(4.0), width=640, height=480)
    info.k = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
    depth = np.full((480, 640), 4000, np.uint16)
    x0, y0, x1, y1 = (round(v) for v in models.cell_box(2, 4))
    depth[y0:y1, x0:x1] = 2000
    stage.speak(CameraInfo, "depth/camera_info").publish(info)
    message = encode.image(header(4.0), depth)
    message.encoding = "16UC1"
    depth_camera.publish(message)
    camera.publish(picture(4.0, models.paint({(2, 4): "red"})))
    stage.until(lambda: found and markers)
    (detection,) = found[0].detections
    assert found[0].header == header(4.0)
    assert detection.results[0].hypothesis.class_id == "red"
    position, size = detection.bbox.center.position, detection.bbox.size
    assert position.z == pytest.approx(2.0, abs=1e-3)
    assert position.x == pytest.approx(((x0 + x1 - 1) / 2 - 320) * 2 / 500, abs=0.01)
    assert size.x == pytest.approx((x1 - x0) * 2 / 500, rel=0.06)
    assert [m.ns for m in markers[0].markers[1:]] == ["boxes", "labels"]


def test_missing_depth_leaves_the_detections_and_is_counted(stage, detector_model) -> None:
    node = stage.running(
        DetectorComponent, "detector", model=detector_model, use_depth=True, depth_timeout=0.0
    )
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    stage.speak(Image, "image").publish(picture(1.0, models.paint({(0, 0): "red"})))
    stage.until(lambda: found)
    assert stage.settled(node, 1).processed == 1
    assert node.component.describe()["without_depth"] == 1


@pytest.mark.parametrize("form", ["mask_index", "mask_logits"])
def test_masks_hold_class_indices_at_input_size(stage, tmp_path, form) -> None:
    model = str(models.write_segmenter_bundle(tmp_path / "segmenter", form=form))
    node = stage.running(SegmenterComponent, "segmenter", model=model)
    masks = stage.hear(Image, "segmenter/mask")
    colored = stage.hear(Image, "segmenter/color_mask")
    overlays = stage.hear(Image, "segmenter/overlay")
    labels = stage.hear(LabelInfo, "segmenter/label_info", LATCHED)
    stage.linked(node, "~/mask", "~/color_mask", "~/overlay")
    sent = picture(9.0, models.paint({(1, 2): "green"}))
    stage.speak(Image, "image").publish(sent)
    stage.until(lambda: masks and colored and overlays and labels)
    assert masks[0].header == sent.header
    assert (masks[0].encoding, masks[0].width, masks[0].height) == ("mono8", 640, 480)
    mask = pixels_of(masks[0], np.uint8)
    x0, y0, x1, y1 = (round(v) for v in models.cell_box(1, 2))
    names = {c.class_id: c.class_name for c in labels[0].class_map}
    inside = mask[y0 + 25 : y1 - 25, x0 + 25 : x1 - 25]
    assert {names[i] for i in np.unique(inside).tolist()} == {"green"}
    assert {names[i] for i in np.unique(mask[y1 + 25 :]).tolist()} == {"background"}
    assert pixels_of(colored[0], np.uint8, 3)[(y0 + y1) // 2, (x0 + x1) // 2].tolist() == [
        30,
        200,
        30,
    ]
    assert overlays[0].encoding == "rgb8"


def test_the_heat_map_is_hottest_on_the_explained_detection(stage, detector_model) -> None:
    node = stage.running(ExplainerComponent, "explainer", model=detector_model)
    heatmaps = stage.hear(Image, "explainer/heatmap")
    explained = stage.hear(Detection2DArray, "explainer/explained")
    overlays = stage.hear(Image, "explainer/overlay")
    stage.linked(node, "~/heatmap", "~/explained", "~/overlay")
    camera = stage.speak(Image, "image")
    sent = picture(5.0, models.paint({(1, 5): "red", (4, 1): (120, 0, 0)}))
    camera.publish(sent)
    stage.until(lambda: heatmaps and explained and overlays)
    assert heatmaps[0].header == sent.header == explained[0].header == overlays[0].header
    assert (heatmaps[0].encoding, heatmaps[0].width, heatmaps[0].height) == ("32FC1", 640, 480)
    heat = pixels_of(heatmaps[0], np.float32)
    assert (heat.min(), heat.max()) == (0.0, pytest.approx(1.0))
    x0, y0, x1, y1 = models.cell_box(1, 5)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    assert y0 <= row <= y1
    assert x0 <= column <= x1
    assert explained[0].detections[0].results[0].hypothesis.class_id == "red"
    camera.publish(picture(6.0, models.paint({})))
    stage.until(lambda: len(explained) == 2 and len(heatmaps) == 2)
    assert explained[1].detections == []
    assert not pixels_of(heatmaps[1], np.float32).any()


def test_a_chosen_class_is_explained_instead_of_the_best(stage, detector_model) -> None:
    node = stage.running(
        ExplainerComponent, "explainer", model=detector_model, target_class="green"
    )
    explained = stage.hear(Detection2DArray, "explainer/explained")
    stage.linked(node, "~/explained")
    image = models.paint({(1, 5): "red", (4, 1): (0, 200, 0)})
    stage.speak(Image, "image").publish(picture(5.0, image))
    stage.until(lambda: explained)
    assert [d.results[0].hypothesis.class_id for d in explained[0].detections] == ["green"]


def test_a_classifier_is_explained_as_a_classification(stage, tmp_path) -> None:
    model = str(models.write_classifier_bundle(tmp_path / "classifier"))
    node = stage.running(ExplainerComponent, "explainer", model=model)
    classes = stage.hear(Classification, "explainer/classification")
    stage.linked(node, "~/classification")
    image = np.zeros((480, 640, 3), np.uint8)
    image[..., 2] = 255
    sent = picture(5.0, image)
    stage.speak(Image, "image").publish(sent)
    stage.until(lambda: classes)
    assert classes[0].header == sent.header
    assert classes[0].results[0].class_id == "blue"


def broken(change: Any) -> Image:
    """Return a picture with one field spoilt."""
    message = picture(1.0, models.paint({}, width=32, height=24))
    change(message)
    return message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: setattr(m, "data", m.data[:100]), "truncated_data"),
        (lambda m: setattr(m, "step", 3), "wrong_step"),
        (lambda m: setattr(m, "encoding", "rgb9"), "unknown_encoding"),
        (lambda m: (setattr(m, "width", 0), setattr(m, "data", b"")), "empty_image"),
    ],
)
def test_a_malformed_image_is_counted_and_the_next_one_works(
    stage, detector_model, change, reason
) -> None:
    node = stage.running(DetectorComponent, "detector", model=detector_model)
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    camera = stage.speak(Image, "image")
    camera.publish(broken(change))
    assert stage.settled(node, 1).dropped == {reason: 1}
    camera.publish(picture(2.0, models.paint({(0, 0): "red"})))
    stage.until(lambda: found)
    assert [f.header.stamp.sec for f in found] == [2]


def test_the_resolution_may_change_from_image_to_image(stage, detector_model) -> None:
    node = stage.running(DetectorComponent, "detector", model=detector_model)
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    camera = stage.speak(Image, "image")
    for i, (width, height) in enumerate([(640, 480), (320, 240), (641, 479), (640, 480)]):
        camera.publish(picture(1.0 + i, models.paint({(1, 2): "red"}, width=width, height=height)))
        stage.until(lambda n=i + 1: len(found) == n)
        box = found[-1].detections[0].bbox
        x0, _, x1, _ = models.cell_box(1, 2, width=width, height=height)
        assert box.center.position.x == pytest.approx((x0 + x1) / 2, abs=2.0)
