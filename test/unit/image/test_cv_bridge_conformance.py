"""The codec against cv_bridge itself, wherever that is installed (apt ROS with numpy 1)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from cnn_perception.image.codec import (
    decode_compressed,
    encode_jpeg,
    encode_png,
    image_bytes,
    to_depth,
    to_rgb,
)

RGB = np.random.default_rng(5).integers(0, 256, (24, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def bridge() -> Any:
    """A CvBridge whose compiled part works; under numpy 2 it fails on import or on first use."""
    try:
        from cv_bridge import CvBridge

        made = CvBridge()
        made.imgmsg_to_cv2(made.cv2_to_imgmsg(RGB, "rgb8"), "bgr8")
    except ModuleNotFoundError:
        pytest.skip("cv_bridge is not installed")
    except Exception as error:
        pytest.skip(f"cv_bridge is installed but does not work: {error}")
    return made


def _fields(msg: Any) -> tuple[Any, ...]:
    return msg.data, msg.height, msg.width, msg.step, msg.encoding, msg.is_bigendian


@pytest.mark.parametrize(
    ("encoding", "code"),
    [
        ("rgb8", None),
        ("bgr8", cv2.COLOR_RGB2BGR),
        ("rgba8", cv2.COLOR_RGB2RGBA),
        ("bgra8", cv2.COLOR_RGB2BGRA),
        ("mono8", cv2.COLOR_RGB2GRAY),
    ],
)
def test_color(bridge: Any, encoding: str, code: int | None) -> None:
    msg = bridge.cv2_to_imgmsg(RGB if code is None else cv2.cvtColor(RGB, code), encoding)
    np.testing.assert_array_equal(to_rgb(*_fields(msg)), bridge.imgmsg_to_cv2(msg, "rgb8"))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer(bridge: Any, pattern: str) -> None:
    msg = bridge.cv2_to_imgmsg(np.ascontiguousarray(RGB[:, :, 0]), f"bayer_{pattern}8")
    np.testing.assert_array_equal(to_rgb(*_fields(msg)), bridge.imgmsg_to_cv2(msg, "rgb8"))


@pytest.mark.parametrize("encoding", ["yuv422", "yuv422_yuy2"])
def test_yuv422(bridge: Any, encoding: str) -> None:
    msg = bridge.cv2_to_imgmsg(np.ascontiguousarray(RGB[:, :, :2]), encoding)
    np.testing.assert_array_equal(to_rgb(*_fields(msg)), bridge.imgmsg_to_cv2(msg, "rgb8"))


def test_mono16_scales_alike(bridge: Any) -> None:
    msg = bridge.cv2_to_imgmsg(np.arange(768, dtype=np.uint16).reshape(24, 32) * 85, "mono16")
    grey = bridge.imgmsg_to_cv2(msg, "mono8")
    np.testing.assert_array_equal(to_rgb(*_fields(msg))[:, :, 0], grey)


def test_depth(bridge: Any) -> None:
    depth = np.arange(1, 769, dtype=np.uint16).reshape(24, 32)
    msg = bridge.cv2_to_imgmsg(depth, "16UC1")
    raw = bridge.imgmsg_to_cv2(msg, "passthrough")
    np.testing.assert_array_equal(to_depth(*_fields(msg)), raw / np.float32(1000))


def test_our_images_are_read_by_cv_bridge(bridge: Any) -> None:
    for array in (RGB, RGB[:, :, 1], RGB[:, :, 2].astype(np.uint16) * 7):
        encoding, step, fit = image_bytes(array)
        msg = bridge.cv2_to_imgmsg(fit, encoding)
        assert (msg.encoding, msg.step) == (encoding, step)
        np.testing.assert_array_equal(bridge.imgmsg_to_cv2(msg, "passthrough"), array)


def test_compressed(bridge: Any) -> None:
    for suffix, ours in (("png", encode_png(RGB)), ("jpg", encode_jpeg(RGB))):
        msg = bridge.cv2_to_compressed_imgmsg(np.ascontiguousarray(RGB[:, :, ::-1]), suffix)
        theirs = bridge.compressed_imgmsg_to_cv2(msg, "bgr8")[:, :, ::-1]
        np.testing.assert_array_equal(decode_compressed(msg.data, msg.format), theirs)
        msg.data = ours
        again = bridge.compressed_imgmsg_to_cv2(msg, "bgr8")[:, :, ::-1]
        np.testing.assert_array_equal(decode_compressed(ours, suffix), again)
