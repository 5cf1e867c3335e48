"""The nodes' messages and those of recordings are the same, when either library reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from rclpy.serialization import deserialize_message, serialize_message

from cnn_perception.messages.encode import CubeList, Encoder
from cnn_perception.recording.bag import typestore
from cnn_perception.recording.compose import encode as encode_bag
from cnn_perception.ros.encode import encode as encode_ros
from cnn_perception.types import (
    Boxes3D,
    CameraIntrinsics,
    Detections,
    ExplainedAnswer,
    Float32Array,
    GridMap2D,
    Header,
    RigidTransform,
    StampedTransform,
)

LABELS = ["chair", "", "Tisch mit Stühlen", "x" * 300]
Content = Callable[[Encoder, Any], Any]


class Drawn:
    """Random content, the same for each encoder that it is given to."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def floats(self, *shape: int, scale: float = 100.0) -> Float32Array:
        return ((self.random.random(shape) - 0.25) * scale).astype(np.float32)

    def size(self) -> tuple[int, int]:
        height, width = self.random.integers(1, 9, 2).tolist()
        return height, width

    def header(self) -> Header:
        frame = "".join(self.random.choice(list("abc/_ü"), self.random.integers(0, 9)))
        return Header(int(self.random.integers(0, 2**31 * 10**9)), frame)

    def detections(self) -> Detections:
        count = int(self.random.integers(0, 5))
        scores = self.random.random(count, np.float32)
        ids = self.random.integers(0, len(LABELS), count, dtype=np.int32)
        return Detections(self.floats(count, 4), scores, ids)

    def boxes(self, count: int) -> Boxes3D:
        valid = self.random.random(count) < 0.7
        return Boxes3D(self.floats(count, 3), abs(self.floats(count, 3)), valid)

    def answers(self) -> list[ExplainedAnswer]:
        found = self.detections()
        return [
            ExplainedAnswer(
                int(class_id),
                float(score),
                box if self.random.random() < 0.7 else None,
                -box if self.random.random() < 0.7 else None,
            )
            for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True)
        ]

    def edge(self) -> StampedTransform:
        quaternion = self.random.normal(size=4)
        x, y, z, w = (quaternion / np.linalg.norm(quaternion)).tolist()
        a, b, c = self.floats(3).tolist()
        pose = RigidTransform.from_quaternion((a, b, c), (x, y, z, w))
        return StampedTransform("map", "camera", self.header().stamp_ns, pose)


def image(drawn: Drawn) -> Content:
    height, width = drawn.size()
    shape, dtype = [
        ((height, width, 3), np.uint8),
        ((height, width, 4), np.uint8),
        ((height, width), np.uint8),
        ((height, width), np.uint16),
        ((height, width), np.float32),
    ][drawn.random.integers(5)]
    # Not contiguous, as cut and mirrored pictures are.
    pixels = (drawn.random.random(shape) * 255).astype(dtype)[::-1, ::-1]
    return lambda encode, header: encode.image(header, pixels)


def depth_image(drawn: Drawn) -> Content:
    depth = drawn.random.integers(0, 2**16, drawn.size()).astype(np.uint16)
    return lambda encode, header: encode.depth_image(header, depth)


def compressed_image(drawn: Drawn) -> Content:
    data = drawn.random.bytes(int(drawn.random.integers(0, 50)))
    return lambda encode, header: encode.compressed_image(header, data, "jpeg")


def camera_info(drawn: Drawn) -> Content:
    height, width = drawn.size()
    fx, fy, cx, cy = (float(value) for value in drawn.random.random(4) + 0.1)
    camera = CameraIntrinsics(width, height, fx, fy, cx, cy)
    return lambda encode, header: encode.camera_info(header, camera)


def transforms(drawn: Drawn) -> Content:
    edges = [drawn.edge() for _ in range(drawn.random.integers(0, 3))]
    return lambda encode, header: encode.transforms(*edges)


def point_cloud(drawn: Drawn) -> Content:
    points = drawn.floats(int(drawn.random.integers(0, 9)), 3)[::2]
    return lambda encode, header: encode.point_cloud(header, points)


def detections_2d(drawn: Drawn) -> Content:
    found = drawn.detections()
    ids = [LABELS[i] for i in found.class_ids] if drawn.random.random() < 0.5 else None
    return lambda encode, header: encode.detections_2d(header, found, LABELS, ids)


def detections_3d(drawn: Drawn) -> Content:
    found = drawn.detections()
    boxes = drawn.boxes(len(found))
    return lambda encode, header: encode.detections_3d(header, found, boxes, LABELS)


def box_markers(drawn: Drawn) -> Content:
    found = drawn.detections()
    boxes = drawn.boxes(len(found))
    colors = drawn.random.integers(0, 256, (len(LABELS), 3), dtype=np.uint8)
    return lambda encode, header: encode.box_markers(header, found, boxes, LABELS, colors)


def explained(drawn: Drawn) -> Content:
    answers, evidence = drawn.answers(), bool(drawn.random.random() < 0.5)
    return lambda encode, header: encode.explained(header, answers, LABELS, evidence=evidence)


def classification(drawn: Drawn) -> Content:
    answers = drawn.answers()
    return lambda encode, header: encode.classification(header, answers, LABELS)


def label_info(drawn: Drawn) -> Content:
    threshold = float(drawn.random.random())
    names = LABELS if drawn.random.random() < 0.5 else {3: "chair", 65535: "sofa"}
    return lambda encode, header: encode.label_info(names, threshold)


def region(drawn: Drawn) -> Content:
    x, y, width, height = abs(drawn.floats(4)).tolist()
    corners = np.array([x, y, x + width, y + height], np.float32)
    return lambda encode, header: encode.region(corners)


def octomap(drawn: Drawn) -> Content:
    payload = drawn.random.bytes(int(drawn.random.integers(0, 50)))
    binary, resolution = bool(drawn.random.random() < 0.5), float(drawn.random.random())
    return lambda encode, header: encode.octomap(
        header, payload, resolution, binary=binary, kind=LABELS[0]
    )


def cubes(drawn: Drawn) -> Content:
    lists = []
    for namespace in ("map", "Stuhl", ""):
        count = int(drawn.random.integers(0, 4))
        shades = drawn.random.random((count, 4), np.float32) if namespace == "map" else None
        centers = drawn.floats(count, 3).astype(np.float64)
        lists.append(CubeList(centers, 0.5, (0.25, 0.5, 0.75, 1.0), shades, namespace))
    # Of the class itself: a node's encoder returns their serialised form.
    return lambda encode, header: Encoder.cubes(encode, header, lists)


def occupancy_grid(drawn: Drawn) -> Content:
    cells = drawn.random.integers(-1, 101, drawn.size()).astype(np.int8).T
    x, y = drawn.floats(2).tolist()
    grid = GridMap2D(cells, (x, y), 0.05)
    return lambda encode, header: encode.occupancy_grid(header, grid)


def header(drawn: Drawn) -> Content:
    return lambda encode, header: header


CONTENTS = {
    content.__name__: content
    for content in (
        box_markers,
        camera_info,
        classification,
        compressed_image,
        depth_image,
        detections_2d,
        detections_3d,
        explained,
        header,
        image,
        label_info,
        occupancy_grid,
        cubes,
        octomap,
        point_cloud,
        region,
        transforms,
    )
}


def test_no_function_is_forgotten() -> None:
    # `points` are no message of their own, but part of `cubes`.
    assert {*CONTENTS, "points"} == {name for name in vars(Encoder) if not name.startswith("_")}


def assert_same(ros: Any, bag: Any) -> None:
    """Each library reads the same content from its own bytes and from the other's."""
    store, kind = typestore(), bag.__msgtype__
    of_ros, of_bag = serialize_message(ros), bytes(store.serialize_cdr(bag, kind))
    assert deserialize_message(of_bag, type(ros)) == deserialize_message(of_ros, type(ros))
    assert bytes(store.serialize_cdr(store.deserialize_cdr(of_ros, kind), kind)) == of_bag
    # ROS leaves old memory in the gaps before aligned numbers, where rosbags writes zeros, and may
    # fill up the end.
    assert len(of_bag) <= len(of_ros) < len(of_bag) + 4
    pairs = zip(of_ros, of_bag, strict=False)
    assert all(theirs in (ours, 0) for ours, theirs in pairs)


@pytest.mark.parametrize("name", CONTENTS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_nodes_and_recordings_encode_alike(name: str, seed: int) -> None:
    drawn = Drawn(seed)
    source = drawn.header()
    content = CONTENTS[name](drawn)
    ros = content(encode_ros, encode_ros.header(source))
    assert_same(ros, content(encode_bag, encode_bag.header(source)))


def test_a_header_is_passed_through_untouched() -> None:
    sent = encode_ros.header(Header(5_000_000_007, "/camera"))
    message = encode_ros.image(sent, np.zeros((2, 2), np.uint8))
    assert message.header is sent
    assert (sent.stamp.sec, sent.stamp.nanosec, sent.frame_id) == (5, 7, "/camera")
