"""Composed messages are what the decoders read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_color,
    decode_depth,
    decode_header,
    decode_transforms,
)
from cnn_perception.recording import compose
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.types import CameraIntrinsics, Header, RigidTransform, StampedTransform

HEADER = Header(1_700_000_000_123_456_789, "camera")


def test_composed_messages_survive_a_bag(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    rgb = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    millimetres = generator.integers(1, 5000, (7, 9), dtype=np.uint16)
    millimetres[0, 0] = 0
    camera = CameraIntrinsics(9, 7, 10.5, 11.5, 4.25, 3.25)
    pose = RigidTransform.from_quaternion((1.0, -2.0, 3.0), (0.1, 0.2, 0.3, 0.9))
    with BagWriter(tmp_path / "bag") as bag:
        for topic, kind, message in (
            ("/color", "sensor_msgs/msg/Image", compose.color_image(HEADER, rgb)),
            ("/depth", "sensor_msgs/msg/Image", compose.depth_image(HEADER, millimetres)),
            ("/info", "sensor_msgs/msg/CameraInfo", compose.camera_info(HEADER, camera)),
            (
                "/tf",
                "tf2_msgs/msg/TFMessage",
                compose.transforms(StampedTransform("map", "camera", HEADER.stamp_ns, pose)),
            ),
        ):
            bag.write(topic, kind, message, HEADER.stamp_ns)
    with BagReader(tmp_path / "bag") as bag:
        found = {record.topic: record.message for record in bag}
    assert decode_header(found["/color"].header) == HEADER
    np.testing.assert_array_equal(decode_color(found["/color"]), rgb)
    depth = decode_depth(found["/depth"])
    assert np.isnan(depth[0, 0])
    np.testing.assert_allclose(depth.ravel()[1:], millimetres.ravel()[1:] / 1000.0, rtol=1e-6)
    assert decode_camera_info(found["/info"]) == camera
    (edge,) = decode_transforms(found["/tf"])
    assert (edge.parent, edge.child, edge.stamp_ns) == ("map", "camera", HEADER.stamp_ns)
    np.testing.assert_allclose(edge.parent_from_child.rotation, pose.rotation, atol=1e-12)
    np.testing.assert_allclose(edge.parent_from_child.translation, pose.translation)
