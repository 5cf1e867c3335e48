"""Record a drive through a room as a rosbag2, as a robot with an RGB-D camera would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.config import Config, setting
from cnn_perception.image.codec import encode_compressed_depth, encode_jpeg, encode_png
from cnn_perception.messages.stamps import ns_to_stamp
from cnn_perception.replay.bag import BagWriter, typestore
from cnn_perception.simulation.labels import OBJECT_CLASSES
from cnn_perception.simulation.path import base_from_link, link_from_optical
from cnn_perception.simulation.room import Room, RoomFrame
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

__all__ = ["START_NS", "RecordingConfig", "record_drive"]

START_NS = 1_700_000_000_000_000_000
"""Stamp of the first image: fixed, so that equal seeds give equal bags."""

_FRAME = "camera_optical_frame"
_IMAGE = "sensor_msgs/msg/CompressedImage"
_INFO = "sensor_msgs/msg/CameraInfo"
_TF = "tf2_msgs/msg/TFMessage"
_DETECTIONS = "vision_msgs/msg/Detection2DArray"


@dataclass(frozen=True, slots=True)
class RecordingConfig(Config):
    """How long and in what quality a drive is recorded."""

    seconds: float = setting(12.0, "Length of the drive, seconds", minimum=0.1, maximum=3600.0)
    rate: float = setting(10.0, "Images per second", minimum=0.1, maximum=120.0)
    jpeg_quality: int = setting(90, "Quality of the colour images", minimum=1, maximum=100)
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
        bag.write("/tf_static", _TF, _static_transforms(), START_NS, latched=True)
        for k, map_from_base in enumerate(poses):
            stamp_ns = START_NS + round(k * 5e8 / config.rate)
            edge = _transform("odom", "base_link", map_from_base, stamp_ns)
            bag.write("/tf", _TF, _message(_TF, transforms=[edge]), stamp_ns)
            if k % 2 == 0:
                pose = map_from_base @ base_from_link() @ link_from_optical()
                _write_frame(bag, room.render(pose), stamp_ns, config)
                if progress is not None:
                    progress(k // 2 + 1, count)
    return count


def _write_frame(bag: BagWriter, frame: RoomFrame, stamp_ns: int, config: RecordingConfig) -> None:
    header = _header(stamp_ns)
    info = _camera_info(frame.intrinsics, header)
    assert frame.depth is not None
    millimetres = np.nan_to_num(np.round(frame.depth * 1000.0)).astype(np.uint16)
    images = [
        (
            "/camera/color/image_raw/compressed",
            "jpeg",
            encode_jpeg(frame.color, config.jpeg_quality),
        ),
        (
            "/camera/depth/image_raw/compressedDepth",
            "16UC1; compressedDepth png",
            encode_compressed_depth(millimetres, 9),
        ),
    ]
    if config.ground_truth:
        images.append(("/ground_truth/mask", "mono8; png compressed ", encode_png(frame.mask, 9)))
    bag.write("/camera/color/camera_info", _INFO, info, stamp_ns)
    bag.write("/camera/depth/camera_info", _INFO, info, stamp_ns)
    for topic, kind, data in images:
        image = _message(_IMAGE, header=header, format=kind, data=np.frombuffer(data, np.uint8))
        bag.write(topic, _IMAGE, image, stamp_ns)
    if config.ground_truth:
        bag.write("/ground_truth/detections", _DETECTIONS, _boxes(frame, header), stamp_ns)


def _message(msgtype: str, **fields: Any) -> Any:
    return typestore().types[msgtype](**fields)


def _header(stamp_ns: int, frame_id: str = _FRAME) -> Any:
    seconds, nanoseconds = ns_to_stamp(stamp_ns)
    stamp = _message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return _message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _camera_info(k: CameraIntrinsics, header: Any) -> Any:
    matrix = np.array([k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0])
    projection = np.array([k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0])
    region = _message(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return _message(
        _INFO,
        header=header,
        height=k.height,
        width=k.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=matrix,
        r=np.eye(3).ravel(),
        p=projection,
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def _transform(parent: str, child: str, pose: RigidTransform, stamp_ns: int) -> Any:
    x, y, z, w = pose.quaternion()
    position = [float(v) for v in pose.translation]
    return _message(
        "geometry_msgs/msg/TransformStamped",
        header=_header(stamp_ns, parent),
        child_frame_id=child,
        transform=_message(
            "geometry_msgs/msg/Transform",
            translation=_message(
                "geometry_msgs/msg/Vector3", x=position[0], y=position[1], z=position[2]
            ),
            rotation=_message("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        ),
    )


def _static_transforms() -> Any:
    edges = (
        ("map", "odom", RigidTransform.identity()),
        ("base_link", "camera_link", base_from_link()),
        ("camera_link", _FRAME, link_from_optical()),
    )
    return _message(_TF, transforms=[_transform(*edge, START_NS) for edge in edges])


def _boxes(frame: RoomFrame, header: Any) -> Any:
    """Return the true boxes; `id` is ``difficult`` for those that are tiny or mostly hidden."""
    detections = [
        _detection(header, box, OBJECT_CLASSES[int(label)], bool(hard))
        for box, label, hard in zip(frame.boxes, frame.classes, frame.difficult, strict=True)
    ]
    return _message(_DETECTIONS, header=header, detections=detections)


def _detection(header: Any, box: Float32Array, label: str, difficult: bool) -> Any:
    x0, y0, x1, y1 = (float(v) for v in box)
    middle = _message("vision_msgs/msg/Point2D", x=(x0 + x1) / 2, y=(y0 + y1) / 2)
    pose = _message(
        "geometry_msgs/msg/PoseWithCovariance",
        pose=_message(
            "geometry_msgs/msg/Pose",
            position=_message("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0),
            orientation=_message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
        ),
        covariance=np.zeros(36),
    )
    hypothesis = _message("vision_msgs/msg/ObjectHypothesis", class_id=label, score=1.0)
    return _message(
        "vision_msgs/msg/Detection2D",
        header=header,
        results=[
            _message("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose)
        ],
        bbox=_message(
            "vision_msgs/msg/BoundingBox2D",
            center=_message("vision_msgs/msg/Pose2D", position=middle, theta=0.0),
            size_x=x1 - x0,
            size_y=y1 - y0,
        ),
        id="difficult" if difficult else "",
    )
