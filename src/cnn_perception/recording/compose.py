"""The few ROS messages that recordings are made of, built without ROS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.messages.stamps import ns_to_stamp
from cnn_perception.recording.bag import typestore
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Header,
    StampedTransform,
    UInt8Array,
)

__all__ = [
    "CAMERA_FRAME",
    "START_NS",
    "camera_info",
    "color_image",
    "compressed_image",
    "depth_image",
    "detections_2d",
    "header",
    "transforms",
]

START_NS = 1_700_000_000_000_000_000
"""Stamp of a recording's first image: fixed, so that equal input gives equal bags."""

CAMERA_FRAME = "camera_optical_frame"
"""Frame of a recording's images (REP-103)."""


def header(source: Header) -> Any:
    """Return a std_msgs/Header."""
    seconds, nanoseconds = ns_to_stamp(source.stamp_ns)
    stamp = _message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return _message("std_msgs/msg/Header", stamp=stamp, frame_id=source.frame_id)


def color_image(source: Header, rgb: UInt8Array) -> Any:
    """Return RGB uint8 (H, W, 3) as a sensor_msgs/Image of encoding rgb8."""
    return _image(source, rgb, "rgb8")


def depth_image(source: Header, millimetres: NDArray[np.uint16]) -> Any:
    """Return uint16 (H, W) millimetres, 0 for none, as a sensor_msgs/Image of encoding 16UC1."""
    return _image(source, millimetres.astype("<u2"), "16UC1")


def compressed_image(source: Header, data: bytes, image_format: str) -> Any:
    """Return an encoded picture as a sensor_msgs/CompressedImage."""
    return _message(
        "sensor_msgs/msg/CompressedImage",
        header=header(source),
        format=image_format,
        data=np.frombuffer(data, np.uint8),
    )


def detections_2d(
    source: Header, boxes: Float32Array, labels: Sequence[str], ids: Sequence[str]
) -> Any:
    """Return true objects, score 1, as a vision_msgs/Detection2DArray.

    boxes: float32 (N, 4) corners in pixels; labels and ids: one for each box.
    """
    stamped = header(source)
    return _message(
        "vision_msgs/msg/Detection2DArray",
        header=stamped,
        detections=[
            _detection(stamped, *box.astype(float).tolist(), label=label, name=name)
            for box, label, name in zip(boxes, labels, ids, strict=True)
        ],
    )


def camera_info(source: Header, camera: CameraIntrinsics) -> Any:
    """Return a sensor_msgs/CameraInfo of a rectified camera."""
    k = np.array([camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0])
    region = _message(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return _message(
        "sensor_msgs/msg/CameraInfo",
        header=header(source),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).ravel(),
        p=np.insert(k, (3, 6, 9), 0.0),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def transforms(*edges: StampedTransform) -> Any:
    """Return a tf2_msgs/TFMessage."""
    return _message("tf2_msgs/msg/TFMessage", transforms=[_edge(edge) for edge in edges])


def _edge(edge: StampedTransform) -> Any:
    pose = edge.parent_from_child
    translation = (float(value) for value in pose.translation)
    return _message(
        "geometry_msgs/msg/TransformStamped",
        header=header(Header(edge.stamp_ns, edge.parent)),
        child_frame_id=edge.child,
        transform=_message(
            "geometry_msgs/msg/Transform",
            translation=typestore().types["geometry_msgs/msg/Vector3"](*translation),
            rotation=typestore().types["geometry_msgs/msg/Quaternion"](*pose.quaternion()),
        ),
    )


def _detection(
    stamped: Any, x0: float, y0: float, x1: float, y1: float, *, label: str, name: str
) -> Any:
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
        header=stamped,
        results=[
            _message("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose)
        ],
        bbox=_message(
            "vision_msgs/msg/BoundingBox2D",
            center=_message("vision_msgs/msg/Pose2D", position=middle, theta=0.0),
            size_x=x1 - x0,
            size_y=y1 - y0,
        ),
        id=name,
    )


def _image(source: Header, pixels: NDArray[Any], encoding: str) -> Any:
    rows, columns = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    return _message(
        "sensor_msgs/msg/Image",
        header=header(source),
        height=rows,
        width=columns,
        encoding=encoding,
        is_bigendian=0,
        step=len(data) // rows,
        data=data,
    )


def _message(msgtype: str, **fields: Any) -> Any:
    return typestore().types[msgtype](**fields)
