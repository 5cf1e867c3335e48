"""Record a drive through a room as a rosbag2, as a robot with an RGB-D camera would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_perception.image.codec import encode_compressed_depth, encode_jpeg, encode_png
from cnn_perception.offboard.simulation.labels import OBJECT_CLASSES
from cnn_perception.offboard.simulation.path import base_from_link, link_from_optical
from cnn_perception.offboard.simulation.room import Room, RoomFrame
from cnn_perception.recording.bag import BagWriter
from cnn_perception.recording.compose import CAMERA_FRAME, START_NS, encode
from cnn_perception.settings import Config, setting
from cnn_perception.types import Detections, Header, RigidTransform, StampedTransform

__all__ = ["START_NS", "RecordingConfig", "record_drive"]

_IMAGE = "sensor_msgs/msg/CompressedImage"
_INFO = "sensor_msgs/msg/CameraInfo"
_TF = "tf2_msgs/msg/TFMessage"
_DETECTIONS = "vision_msgs/msg/Detection2DArray"


@dataclass(frozen=True, slots=True)
class RecordingConfig(Config):
    """How long and in what quality a drive is recorded."""

    seconds: float = setting(12.0, "Length of the drive, seconds", between=(0.1, 3600.0))
    rate: float = setting(10.0, "Images per second", between=(0.1, 120.0))
    jpeg_quality: int = setting(90, "Quality of the color images", between=(1, 100))
    ground_truth: bool = setting(True, "Also record true masks and boxes")


def record_drive(
    room: Room,
    path: Path,
    config: RecordingConfig | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a drive through `room` to a new bag (mcap) and return the number of images.

    Topics: ``/camera/{color,depth}/...`` (CompressedImage and CameraInfo, equal stamps, frame
    camera_optical_frame), ``/tf`` (odom -> base_link, twice per image), ``/tf_static`` (map -> odom
    and the camera's mount), and ``/ground_truth/{mask,detections}``. `progress` is told the images
    done and to do. Raises BagError when the bag cannot be written.
    """
    config = config or RecordingConfig()
    poses = room.drive(config.seconds, 2 * config.rate)
    count = (len(poses) + 1) // 2
    with BagWriter(path, overwrite=overwrite) as bag:
        fixed = encode.transforms(*_static_transforms())
        bag.write("/tf_static", _TF, fixed, START_NS, latched=True)
        for k, map_from_base in enumerate(poses):
            stamp_ns = START_NS + round(k * 5e8 / config.rate)
            edge = StampedTransform("odom", "base_link", stamp_ns, map_from_base)
            bag.write("/tf", _TF, encode.transforms(edge), stamp_ns)
            if k % 2 == 0:
                pose = map_from_base @ base_from_link() @ link_from_optical()
                _write_frame(bag, room.render(pose), stamp_ns, config)
                if progress is not None:
                    progress(k // 2 + 1, count)
    return count


def _write_frame(bag: BagWriter, frame: RoomFrame, stamp_ns: int, config: RecordingConfig) -> None:
    header = encode.header(Header(stamp_ns, CAMERA_FRAME))
    info = encode.camera_info(header, frame.intrinsics)
    assert frame.depth is not None
    millimetres = np.nan_to_num(np.round(frame.depth * 1000.0)).astype(np.uint16)
    jpeg = encode_jpeg(frame.color, config.jpeg_quality)
    depth = encode_compressed_depth(millimetres, 9)
    images = [
        ("/camera/color/image_raw/compressed", jpeg, "jpeg"),
        ("/camera/depth/image_raw/compressedDepth", depth, "16UC1; compressedDepth png"),
    ]
    if config.ground_truth:
        mask = encode_png(frame.mask, 9)
        images.append(("/ground_truth/mask", mask, "mono8; png compressed "))
    bag.write("/camera/color/camera_info", _INFO, info, stamp_ns)
    bag.write("/camera/depth/camera_info", _INFO, info, stamp_ns)
    for topic, data, image_format in images:
        image = encode.compressed_image(header, data, image_format)
        bag.write(topic, _IMAGE, image, stamp_ns)
    if config.ground_truth:
        ids = ["difficult" if hard else "" for hard in frame.difficult]
        objects = Detections(frame.boxes, np.ones(len(ids), np.float32), frame.classes)
        truth = encode.detections_2d(header, objects, OBJECT_CLASSES, ids)
        bag.write("/ground_truth/detections", _DETECTIONS, truth, stamp_ns)


def _static_transforms() -> tuple[StampedTransform, ...]:
    edges = (
        ("map", "odom", RigidTransform.identity()),
        ("base_link", "camera_link", base_from_link()),
        ("camera_link", CAMERA_FRAME, link_from_optical()),
    )
    return tuple(StampedTransform(parent, child, START_NS, pose) for parent, child, pose in edges)
