"""The few ROS messages that recordings are made of, built without ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.messages.stamps import ns_to_stamp
from cnn_perception.replay.bag import typestore
from cnn_perception.types import CameraIntrinsics, Header, StampedTransform, UInt8Array

__all__ = ["camera_info", "color_image", "depth_image", "header", "transforms"]


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
