"""Composed messages are what the decoders read, and have the defaults of their definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_classification,
    decode_color,
    decode_depth,
    decode_detections,
    decode_detections_3d,
    decode_header,
    decode_label_info,
    decode_mask,
    decode_point_cloud,
    decode_transforms,
)
from cnn_perception.recording.bag import BagReader, BagWriter, typestore
from cnn_perception.recording.compose import encode
from cnn_perception.types import (
    Boxes3D,
    CameraIntrinsics,
    Detections,
    ExplainedAnswer,
    GridMap2D,
    Header,
    RigidTransform,
    StampedTransform,
)

SOURCE = Header(1_700_000_000_123_456_789, "camera")
HEADER = encode.header(SOURCE)
LABELS = ("chair", "table")
FOUND = Detections(
    np.array([[10, 20, 30, 60], [0, 0, 5, 8]], np.float32),
    np.array([0.75, 0.5], np.float32),
    np.array([1, 0], np.int32),
)
GUESSES = [("table", 0.75), ("chair", 0.5)]
BOXES = Boxes3D(
    np.array([[1, 2, 3], [0, 0, 0]], np.float32),
    np.array([[0.5, 0.25, 1], [0, 0, 0]], np.float32),
    np.array([True, False]),
)


def kept(tmp_path: Path, *messages: Any) -> list[Any]:
    """Return messages as they come back from a bag."""
    with BagWriter(tmp_path / "bag") as bag:
        for i, message in enumerate(messages):
            bag.write(f"/topic_{i}", message.__msgtype__, message, SOURCE.stamp_ns + i)
    with BagReader(tmp_path / "bag") as reader:
        return [record.message for record in reader]


def corners(detection: Any) -> list[float]:
    box, center = detection.bbox, detection.bbox.center.position
    half_x, half_y = box.size_x / 2, box.size_y / 2
    return [center.x - half_x, center.y - half_y, center.x + half_x, center.y + half_y]


def xyz(point: Any) -> tuple[float, float, float]:
    return point.x, point.y, point.z


def test_what_a_camera_sends_survives_a_bag(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    rgb = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    millimetres = generator.integers(1, 5000, (7, 9), dtype=np.uint16)
    millimetres[0, 0] = 0
    camera = CameraIntrinsics(9, 7, 10.5, 11.5, 4.25, 3.25)
    pose = RigidTransform.from_quaternion((1.0, -2.0, 3.0), (0.1, 0.2, 0.3, 0.9))
    color, depth, metres, info, tf = kept(
        tmp_path,
        encode.image(HEADER, rgb),
        encode.depth_image(HEADER, millimetres),
        encode.depth_image(HEADER, (millimetres / 1000).astype(np.float32)),
        encode.camera_info(HEADER, camera),
        encode.transforms(StampedTransform("map", "camera", SOURCE.stamp_ns, pose)),
    )
    assert decode_header(color.header) == SOURCE
    np.testing.assert_array_equal(decode_color(color), rgb)
    assert (color.encoding, depth.encoding, metres.encoding) == ("rgb8", "16UC1", "32FC1")
    assert np.isnan(decode_depth(depth)[0, 0])
    expected = millimetres.ravel()[1:] / 1000.0
    for image in (depth, metres):
        np.testing.assert_allclose(decode_depth(image).ravel()[1:], expected, rtol=1e-6)
    assert decode_camera_info(info) == camera
    (edge,) = decode_transforms(tf)
    assert (edge.parent, edge.child, edge.stamp_ns) == ("map", "camera", SOURCE.stamp_ns)
    np.testing.assert_allclose(edge.parent_from_child.rotation, pose.rotation, atol=1e-12)
    np.testing.assert_allclose(edge.parent_from_child.translation, pose.translation)


def test_what_networks_answer_survives_a_bag(tmp_path: Path) -> None:
    answers = (
        ExplainedAnswer(1, 0.75, FOUND.boxes[0], FOUND.boxes[1]),
        ExplainedAnswer(0, 0.5, None, FOUND.boxes[0]),
    )
    flat, solid, boxes, heats, classes, names, mask = kept(
        tmp_path,
        encode.detections_2d(HEADER, FOUND, LABELS, ["first", "second"]),
        encode.detections_3d(HEADER, FOUND, BOXES, LABELS),
        encode.explained(HEADER, answers, LABELS),
        encode.explained(HEADER, answers, LABELS, evidence=True),
        encode.classification(HEADER, answers, LABELS),
        encode.label_info({3: "chair", 7: "table"}, 0.25),
        encode.image(HEADER, np.arange(6, dtype=np.uint16).reshape(2, 3) + 300),
    )
    assert [corners(detection) for detection in flat.detections] == FOUND.boxes.tolist()
    assert [detection.id for detection in flat.detections] == ["first", "second"]
    guesses = [detection.results[0].hypothesis for detection in flat.detections]
    assert [(guess.class_id, guess.score) for guess in guesses] == GUESSES
    assert decode_header(flat.detections[0].header) == SOURCE
    (detection,) = solid.detections
    assert xyz(detection.bbox.center.position) == (1, 2, 3)
    assert xyz(detection.results[0].pose.pose.position) == (1, 2, 3)
    assert xyz(detection.bbox.size) == (0.5, 0.25, 1)
    assert detection.results[0].hypothesis.class_id == "table"
    assert [corners(one) for one in boxes.detections] == [FOUND.boxes[0].tolist()]
    assert [corners(one) for one in heats.detections] == FOUND.boxes[::-1].tolist()
    assert [(one.class_id, one.score) for one in classes.results] == GUESSES
    assert decode_label_info(names) == {3: "chair", 7: "table"}
    assert names.threshold == 0.25
    assert decode_mask(mask).tolist() == [[300, 301, 302], [303, 304, 305]]


def test_maps_survive_a_bag(tmp_path: Path) -> None:
    points = np.array([[1, 2, 3], [-4, 5.5, -6]], np.float32)
    cells = np.array([[-1, 0, 100], [0, 100, -1]], np.int8)
    cloud, empty, tree, grid, markers = kept(
        tmp_path,
        encode.point_cloud(HEADER, points),
        encode.point_cloud(HEADER, points[:0]),
        encode.octomap(HEADER, b"\x00\x7f\x80\xff", 0.05, binary=True),
        encode.occupancy_grid(HEADER, GridMap2D(cells, (-1.5, 2.5), 0.25)),
        encode.box_markers(HEADER, FOUND, BOXES, LABELS, np.full((2, 3), 51, np.uint8)),
    )
    np.testing.assert_array_equal(decode_point_cloud(cloud), points)
    assert decode_point_cloud(empty).shape == (0, 3)
    assert (tree.id, tree.binary, tree.resolution) == ("OcTree", True, 0.05)
    assert tree.data.tobytes() == b"\x00\x7f\x80\xff"
    np.testing.assert_array_equal(grid.data.reshape(grid.info.height, grid.info.width), cells)
    assert (grid.info.resolution, xyz(grid.info.origin.position)) == (0.25, (-1.5, 2.5, 0))
    assert grid.info.map_load_time == grid.header.stamp
    clear, cube, text = markers.markers
    assert clear.action == clear.DELETEALL
    assert (cube.type, text.type) == (cube.CUBE, cube.TEXT_VIEW_FACING)
    assert (cube.ns, cube.id, text.text) == ("boxes", 0, "table 0.75")
    assert (xyz(cube.pose.position), xyz(cube.scale)) == ((1, 2, 3), (0.5, 0.25, 1))
    assert xyz(text.pose.position) == pytest.approx((1, 2 - 0.125 - 0.05, 3))
    assert (cube.color.r, cube.color.a) == pytest.approx((0.2, 0.4))


def test_a_recorded_header_is_passed_on(tmp_path: Path) -> None:
    """Its class is one that the reader made from the bag's own definitions."""
    (image,) = kept(tmp_path / "in", encode.image(HEADER, np.zeros((2, 2), np.uint8)))
    message = encode.detections_2d(image.header, FOUND, LABELS)
    assert message.header is image.header
    (again,) = kept(tmp_path / "out", message)
    assert decode_header(again.header) == decode_header(again.detections[1].header) == SOURCE


def test_a_region_is_the_pixels_that_a_box_touches() -> None:
    region = encode.region(np.array([1.5, 2, 3.25, 4], np.float32))
    assert (region.x_offset, region.y_offset, region.width, region.height) == (1, 2, 3, 2)


def test_defaults_belong_to_one_message_alone() -> None:
    first, second = (
        encode.box_markers(HEADER, FOUND, BOXES, LABELS, np.zeros((2, 3), np.uint8))
        for _ in range(2)
    )
    first.markers[1].pose.orientation.w = 0.5
    first.markers[1].points.append(None)
    assert [marker.pose.orientation.w for marker in second.markers] == [1, 1, 1]
    assert second.markers[1].points == []


def test_what_is_no_image_and_what_does_not_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"float64 \(2, 2\) is not an image"):
        encode.depth_image(HEADER, np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shorter"):
        encode.detections_2d(HEADER, FOUND, LABELS, ["only one"])


def test_every_known_type_has_a_default() -> None:
    store = typestore()
    for msgtype in store.fielddefs:
        message = encode._message(msgtype)
        data = store.serialize_cdr(message, msgtype)
        assert store.serialize_cdr(store.deserialize_cdr(data, msgtype), msgtype) == data, msgtype


@pytest.mark.parametrize("seed", range(5))
def test_answers_are_read_as_they_were_written(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 6))
    scores = rng.random(count).astype(np.float32)
    ids = rng.integers(0, 2, count).astype(np.int32)
    # Quarters of a pixel: their centres and sizes are exact.
    low, size = (rng.integers(0, 2000, (2, count, 2)) / 4).astype(np.float32)
    found = Detections(np.hstack([low, low + size]), scores, ids)
    solids = Boxes3D(
        rng.normal(0, 3, (count, 3)).astype(np.float32),
        rng.random((count, 3)).astype(np.float32),
        rng.random(count) < 0.7,
    )
    guesses = [ExplainedAnswer(int(k), float(x)) for k, x in zip(ids, scores, strict=True)]
    flat, solid, classes = kept(
        tmp_path,
        encode.detections_2d(HEADER, found, LABELS),
        encode.detections_3d(HEADER, found, solids, LABELS),
        encode.classification(HEADER, guesses, LABELS),
    )
    names = tuple(LABELS[k] for k in ids)
    boxes, all_classes, in_space = (
        decode_detections(flat),
        decode_classification(classes),
        decode_detections_3d(solid),
    )
    assert boxes.labels == all_classes.labels == names
    np.testing.assert_array_equal(boxes.boxes, found.boxes)
    np.testing.assert_array_equal(boxes.scores, scores)
    np.testing.assert_array_equal(all_classes.scores, scores)
    assert not all_classes.boxes.any()
    valid = solids.valid
    assert in_space.labels == tuple(np.array(names, object)[valid])
    np.testing.assert_array_equal(in_space.scores, scores[valid])
    np.testing.assert_array_equal(in_space.centers, solids.centers[valid].astype(np.float64))
    np.testing.assert_array_equal(in_space.sizes, solids.sizes[valid].astype(np.float64))
