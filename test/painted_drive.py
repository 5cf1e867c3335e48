"""A small drive with painted pictures, whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import models
from cnn_perception.recording.bag import BagWriter
from cnn_perception.recording.compose import encode
from cnn_perception.types import CameraIntrinsics, Header, RigidTransform, StampedTransform

START_NS = 1_700_000_000_000_000_000
FRAMES = 20
PERIOD_NS = 100_000_000
_CAMERA = CameraIntrinsics(160, 120, 130.0, 130.0, 79.5, 59.5)
_FORWARD = RigidTransform(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.0, 0.0, 0.5])
)


def write_drive(path: Path) -> Path:
    """Write 20 frames, 10 per second: two coloured cells before a wall two metres away."""
    with BagWriter(path) as bag:
        mount = encode.transforms(StampedTransform("base_link", "camera", START_NS, _FORWARD))
        bag.write("/tf_static", "tf2_msgs/msg/TFMessage", mount, START_NS, latched=True)
        for index in range(FRAMES):
            _write_frame(bag, index, START_NS + index * PERIOD_NS)
    return path


def _write_frame(bag: BagWriter, index: int, stamp_ns: int) -> None:
    header = encode.header(Header(stamp_ns, "camera"))
    pose = RigidTransform(np.eye(3), np.array([0.02 * index, 0.0, 0.0]))
    edge = StampedTransform("map", "base_link", stamp_ns, pose)
    picture = models.paint({(2, index % 8): "red", (4, 3): "green"}, width=160, height=120)
    depth = np.full((120, 160), 2000, np.uint16)
    for topic, msgtype, message in (
        ("/tf", "tf2_msgs/msg/TFMessage", encode.transforms(edge)),
        ("/camera/camera_info", "sensor_msgs/msg/CameraInfo", encode.camera_info(header, _CAMERA)),
        ("/camera/depth", "sensor_msgs/msg/Image", encode.depth_image(header, depth)),
        ("/camera/color", "sensor_msgs/msg/Image", encode.image(header, picture)),
    ):
        bag.write(topic, msgtype, message, stamp_ns)
