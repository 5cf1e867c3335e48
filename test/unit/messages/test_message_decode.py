"""Messages to types: rosbags' message objects and plain namespaces alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from cnn_perception.errors import MessageError
from cnn_perception.image.codec import encode_compressed_depth, encode_jpeg, encode_png
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_color,
    decode_depth,
    decode_header,
    decode_label_info,
    decode_mask,
    decode_point_cloud,
    decode_transforms,
)
from cnn_perception.types import CameraIntrinsics, Header

TYPES = get_typestore(Stores.ROS2_HUMBLE).types
K = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
P = [480.0, 0.0, 310.0, 0.0, 0.0, 490.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def _message(name: str, /, **fields: Any) -> Any:
    """A rosbags message object."""
    return TYPES[name](**fields)


def _header(frame: str = "camera") -> Any:
    stamp = _message("builtin_interfaces/msg/Time", sec=12, nanosec=34)
    return _message("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def _image(pixels: np.ndarray[Any, Any], encoding: str) -> Any:
    return _message(
        "sensor_msgs/msg/Image",
        header=_header(),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=np.frombuffer(pixels.tobytes(), np.uint8),
    )


def _compressed(data: bytes, image_format: str) -> Any:
    return _message(
        "sensor_msgs/msg/CompressedImage",
        header=_header(),
        format=image_format,
        data=np.frombuffer(data, np.uint8),
    )


def _camera_info(k: list[float], p: list[float], **changes: Any) -> Any:
    roi = _message(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    fields: dict[str, Any] = {
        "header": _header(),
        "height": 480,
        "width": 640,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": np.array(k),
        "r": np.eye(3).ravel(),
        "p": np.array(p),
        "binning_x": 0,
        "binning_y": 0,
        "roi": roi,
    }
    return _message("sensor_msgs/msg/CameraInfo", **{**fields, **changes})


def _cloud(
    records: np.ndarray[Any, Any], *, padding: int = 0, big: bool = False, **changes: Any
) -> Any:
    """A PointCloud2 of a structured array (height, width), `padding` bytes after each row."""
    codes = {"u1": 2, "u4": 6, "f4": 7, "f8": 8}
    names = records.dtype.names or ()
    columns = records.dtype.fields or {}
    fields = [
        _message(
            "sensor_msgs/msg/PointField",
            name=name,
            offset=columns[name][1],
            datatype=codes[columns[name][0].str[1:]],
            count=1,
        )
        for name in names
    ]
    rows = [row.tobytes() + b"\xff" * padding for row in records]
    content: dict[str, Any] = {
        "header": _header(),
        "height": records.shape[0],
        "width": records.shape[1],
        "fields": fields,
        "is_bigendian": big,
        "point_step": records.dtype.itemsize,
        "row_step": records.shape[1] * records.dtype.itemsize + padding,
        "data": np.frombuffer(b"".join(rows), np.uint8),
        "is_dense": False,
    }
    return _message("sensor_msgs/msg/PointCloud2", **{**content, **changes})


@pytest.mark.parametrize(("frame", "expected"), [("map", "map"), ("/map", "map"), ("", "")])
def test_header(frame: str, expected: str) -> None:
    assert decode_header(_header(frame)) == Header(12_000_000_034, expected)


def test_raw_and_compressed_color_are_told_apart() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    np.testing.assert_array_equal(decode_color(_image(rgb, "rgb8")), rgb)
    np.testing.assert_array_equal(decode_color(_compressed(encode_png(rgb), "png")), rgb)
    assert decode_color(_compressed(encode_jpeg(rgb), "jpeg")).shape == rgb.shape


def test_raw_and_compressed_depth_are_told_apart() -> None:
    depth = np.array([[0, 1500], [65535, 2]], np.uint16)
    expected = np.array([[np.nan, 1.5], [np.nan, 0.002]], np.float32)
    raw = _image(depth, "16UC1")
    compressed = _compressed(encode_compressed_depth(depth), "16UC1; compressedDepth png")
    for msg in (raw, compressed):
        np.testing.assert_array_equal(decode_depth(msg), expected)


def test_namespaces_will_do() -> None:
    """Any object with the fields: nothing asks for a class."""
    msg = SimpleNamespace(
        height=1, width=2, step=8, encoding="mono8", is_bigendian=1, data=[3, 4, 0, 0, 0, 0, 0, 0]
    )
    np.testing.assert_array_equal(decode_mask(msg), [[3, 4]])
    assert decode_color(msg).tolist() == [[[3, 3, 3], [4, 4, 4]]]


def test_mask_of_many_classes() -> None:
    labels = np.array([[0, 300], [65535, 2]], np.uint16)
    decoded = decode_mask(_image(labels, "mono16"))
    np.testing.assert_array_equal(decoded, labels)
    compressed = decode_mask(_compressed(encode_png(labels), "mono16; png compressed mono16"))
    np.testing.assert_array_equal(compressed, labels)
    with pytest.raises(MessageError, match="'rgb8' is not a label image"):
        decode_mask(_image(np.zeros((2, 2, 3), np.uint8), "rgb8"))


def test_camera_of_the_rectified_image_comes_first() -> None:
    assert decode_camera_info(_camera_info(K, P)) == CameraIntrinsics(640, 480, 480, 490, 310, 230)
    raw_only = _camera_info(K, [0.0] * 12)
    assert decode_camera_info(raw_only) == CameraIntrinsics(640, 480, 500, 510, 320, 240)


def test_ros1_names_the_matrices_in_capitals() -> None:
    of_ros1 = SimpleNamespace(width=640, height=480, D=[], K=K, R=[], P=P)
    assert decode_camera_info(of_ros1) == CameraIntrinsics(640, 480, 480, 490, 310, 230)


def test_binning_and_region_of_interest_are_applied() -> None:
    roi = _message(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=110,
        y_offset=30,
        height=400,
        width=200,
        do_rectify=True,
    )
    camera = decode_camera_info(_camera_info(K, P, roi=roi, binning_x=2, binning_y=4))
    assert camera == CameraIntrinsics(100, 100, 240.0, 122.5, 100.0, 50.0)


@pytest.mark.parametrize(
    ("k", "p", "changes", "text"),
    [
        ([0.0] * 9, [0.0] * 12, {}, "not calibrated: calibrate it"),
        ([float("nan"), *K[1:]], [0.0] * 12, {}, "9 finite numbers"),
        (K, [float("nan"), *P[1:]], {}, "12 finite numbers"),
        (K, [float("inf"), *P[1:]], {}, "12 finite numbers"),
        (K[:4], P, {}, "9 finite numbers"),
        ([-500.0, *K[1:]], [0.0] * 12, {}, "not usable"),
        (K, P, {"width": 0}, "0x480"),
    ],
)
def test_unusable_cameras_are_refused(
    k: list[float], p: list[float], changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(MessageError, match=text) as caught:
        decode_camera_info(_camera_info(k, p, **changes))
    assert caught.value.reason == "bad_intrinsics"


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("width", ["f4", "f8"])
@pytest.mark.parametrize("names", ["xyz", "zyx", "iyxz", "xiyiz"])
def test_clouds_of_every_layout(names: str, width: str, big: bool, padding: int) -> None:
    order = ">" if big else "<"
    dtype = np.dtype(
        [
            (name if name in "xyz" else f"i{at}", "u1" if name == "i" else order + width)
            for at, name in enumerate(names)
        ]
    )
    rng = np.random.default_rng(1)
    records = np.zeros((4, 6), dtype)
    expected = rng.normal(size=(4, 6, 3)).astype(np.float32)
    for axis, name in enumerate("xyz"):
        records[name] = expected[..., axis]
    points = decode_point_cloud(_cloud(records, big=big, padding=padding))
    np.testing.assert_array_equal(points, expected.reshape(-1, 3))
    assert points.dtype == np.float32


def test_points_that_are_not_finite_are_left_out() -> None:
    records = np.zeros((1, 6), [("x", "<f8"), ("y", "<f8"), ("z", "<f8")])
    records["x"] = [0, np.nan, 2, 3, 4, 1e300]
    records["y"] = [0, 1, np.inf, 3, 4, 5]
    records["z"] = [0, 1, 2, -np.inf, 4, 5]
    points = decode_point_cloud(_cloud(records))
    np.testing.assert_array_equal(points, [[0, 0, 0], [4, 4, 4]])


def test_a_cloud_may_be_empty() -> None:
    records = np.zeros((1, 0), [("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
    assert decode_point_cloud(_cloud(records)).shape == (0, 3)
    assert decode_point_cloud(_cloud(records, fields=[], height=0)).shape == (0, 3)


def test_row_step_of_one_row_is_not_needed() -> None:
    records = np.ones((1, 6), [("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
    assert decode_point_cloud(_cloud(records, row_step=0)).shape == (6, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": np.zeros(71, np.uint8)}, "truncated_data"),
        ({"width": 2**32 - 1, "height": 1}, "truncated_data"),
        ({"point_step": 11}, "wrong_step"),
        ({"point_step": 0}, "wrong_step"),
        ({"row_step": 35}, "wrong_step"),
        ({"fields": []}, "missing_fields"),
    ],
)
def test_malformed_clouds_are_refused(changes: dict[str, Any], reason: str) -> None:
    records = np.ones((2, 3), [("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
    with pytest.raises(MessageError) as caught:
        decode_point_cloud(_cloud(records, **changes))
    assert caught.value.reason == reason


def test_coordinates_must_be_floating_point() -> None:
    records = np.ones((2, 3), [("x", "<f4"), ("y", "<u4"), ("z", "<f4")])
    with pytest.raises(MessageError, match="field y of the cloud has datatype 6") as caught:
        decode_point_cloud(_cloud(records))
    assert caught.value.reason == "missing_fields"


def _transform(parent: str, child: str, w: float = 1.0) -> Any:
    motion = _message(
        "geometry_msgs/msg/Transform",
        translation=_message("geometry_msgs/msg/Vector3", x=1.0, y=2.0, z=3.0),
        rotation=_message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=w),
    )
    return _message(
        "geometry_msgs/msg/TransformStamped",
        header=_header(parent),
        child_frame_id=child,
        transform=motion,
    )


def test_transforms() -> None:
    msg = SimpleNamespace(transforms=[_transform("/map", "/base"), _transform("base", "camera")])
    first, second = decode_transforms(msg)
    assert (first.parent, first.child, first.stamp_ns) == ("map", "base", 12_000_000_034)
    assert (second.parent, second.child) == ("base", "camera")
    np.testing.assert_array_equal(first.parent_from_child.translation, [1, 2, 3])
    np.testing.assert_array_equal(first.parent_from_child.rotation, np.eye(3))
    assert decode_transforms(SimpleNamespace(transforms=[])) == []


@pytest.mark.parametrize(
    "bad",
    [
        ("map", "base", 0.0),
        ("map", "base", float("nan")),
        ("map", "map", 1.0),
        ("map", "", 1.0),
        ("/", "base", 1.0),
    ],
)
def test_bad_edges_are_refused_or_set_aside(bad: tuple[str, str, float]) -> None:
    msg = SimpleNamespace(transforms=[_transform(*bad), _transform("base", "camera")])
    with pytest.raises(MessageError) as caught:
        decode_transforms(msg)
    assert caught.value.reason == "bad_transform"
    rejected: list[MessageError] = []
    assert [edge.child for edge in decode_transforms(msg, rejected)] == ["camera"]
    assert [error.reason for error in rejected] == ["bad_transform"]


def test_label_info() -> None:
    classes = [SimpleNamespace(class_id=i, class_name=name) for i, name in ((0, "cup"), (7, "mug"))]
    assert decode_label_info(SimpleNamespace(class_map=classes)) == {0: "cup", 7: "mug"}
    assert decode_label_info(SimpleNamespace(class_map=[])) == {}
    classes.append(SimpleNamespace(class_id=7, class_name="jug"))
    with pytest.raises(MessageError, match="class id 7 is both 'mug' and 'jug'") as caught:
        decode_label_info(SimpleNamespace(class_map=classes))
    assert caught.value.reason == "bad_labels"
