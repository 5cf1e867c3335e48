"""JPEG, PNG and compressedDepth: roundtrips, the transports' formats, cut and damaged data."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError, MessageError
from cnn_perception.image.codec import (
    decode_compressed,
    decode_compressed_depth,
    decode_compressed_labels,
    encode_compressed_depth,
    encode_jpeg,
    encode_png,
)
from cnn_perception.types import UInt8Array

TRANSPORT_FORMATS = ["", "png", "bgr8; png compressed bgr8", "rgb8; png compressed bgr8"]


@pytest.fixture
def rgb() -> UInt8Array:
    """A smooth picture with all three channels different."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 3 + 10, y * 4 + 20, 200 - x - y], axis=-1).astype(np.uint8)


@pytest.fixture
def millimetres() -> NDArray[np.uint16]:
    """A slanted wall with holes."""
    depth = np.add.outer(np.arange(40) * 10, np.arange(60) * 7).astype(np.uint16) + 400
    depth[3:6, 4:9] = 0
    return depth


@pytest.mark.parametrize("image_format", TRANSPORT_FORMATS)
def test_png_is_lossless(rgb: UInt8Array, image_format: str) -> None:
    np.testing.assert_array_equal(decode_compressed(encode_png(rgb), image_format), rgb)


@pytest.mark.parametrize("image_format", ["jpeg", "jpg", "rgb8; jpeg compressed bgr8"])
def test_jpeg_keeps_colors(rgb: UInt8Array, image_format: str) -> None:
    decoded = decode_compressed(encode_jpeg(rgb, 95), image_format)
    assert decoded.shape == rgb.shape
    assert np.abs(decoded.astype(int) - rgb).mean() < 2


def test_quality_costs_bytes(rgb: UInt8Array) -> None:
    assert len(encode_jpeg(rgb, 20)) < len(encode_jpeg(rgb, 95))


def test_colors_compressed_in_rgb_order_are_not_swapped(rgb: UInt8Array) -> None:
    """A publisher that hands RGB to OpenCV says so: the decoder's channels are RGB already."""
    swapped = encode_png(np.ascontiguousarray(rgb[:, :, ::-1]))
    decoded = decode_compressed(swapped, "rgb8; png compressed rgb8")
    np.testing.assert_array_equal(decoded, rgb)


def test_grey_alpha_and_sixteen_bits_become_rgb(rgb: UInt8Array) -> None:
    grey = np.ascontiguousarray(rgb[:, :, 0])
    three = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode_compressed(encode_png(grey)), three)
    np.testing.assert_array_equal(
        decode_compressed(encode_png(grey.astype(np.uint16) * 257)), three
    )
    with_alpha = np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)])
    np.testing.assert_array_equal(decode_compressed(encode_png(with_alpha)), rgb)
    assert decode_compressed(encode_jpeg(grey)).shape == rgb.shape


def test_compressed_bayer_mosaic_is_interpolated() -> None:
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = 50, 200
    mosaic[0::2, 1::2] = mosaic[1::2, 0::2] = 100
    decoded = decode_compressed(encode_png(mosaic), "bayer_bggr8; png compressed ")
    assert (decoded == (200, 100, 50)).all()


def test_exif_orientation_is_not_applied(rgb: UInt8Array) -> None:
    jpeg = encode_jpeg(rgb)
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    np.testing.assert_array_equal(decode_compressed(turned), decode_compressed(jpeg))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_cut_data_are_refused_not_filled_with_grey(rgb: UInt8Array, share: float) -> None:
    for encoded in (encode_jpeg(rgb), encode_png(rgb)):
        with pytest.raises(MessageError, match=r"end early, after|neither JPEG nor PNG"):
            decode_compressed(encoded[: int(len(encoded) * share)], "jpeg")


def test_padding_after_the_end_is_tolerated(rgb: UInt8Array) -> None:
    jpeg = encode_jpeg(rgb)
    np.testing.assert_array_equal(decode_compressed(jpeg + bytes(100)), decode_compressed(jpeg))


@pytest.mark.parametrize("data", [b"", b"x", b"not an image at all", bytes(100), b"BM" + bytes(60)])
def test_other_data_are_unknown(data: bytes) -> None:
    with pytest.raises(MessageError, match="neither JPEG nor PNG") as caught:
        decode_compressed(data, "jpeg")
    assert caught.value.reason == "unknown_encoding"


def test_damaged_png_is_corrupt(rgb: UInt8Array) -> None:
    damaged = bytearray(encode_png(rgb))
    start = damaged.index(b"IDAT") + 4
    damaged[start : start + 8] = bytes(8)
    with pytest.raises(MessageError) as caught:
        decode_compressed(bytes(damaged), "png")
    assert caught.value.reason == "corrupt_image"


def test_absurd_sizes_are_refused_before_allocation(rgb: UInt8Array) -> None:
    png = bytearray(encode_png(rgb))
    png[16:24] = struct.pack(">II", 30000, 30000)
    png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
    jpeg = bytearray(encode_jpeg(rgb))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 60000, 60000)
    for data in (png, jpeg):
        with pytest.raises(MessageError, match="claims") as caught:
            decode_compressed(bytes(data))
        assert caught.value.reason == "image_too_large"


def test_depth_roundtrip(millimetres: NDArray[np.uint16]) -> None:
    data = encode_compressed_depth(millimetres)
    for image_format in ("16UC1; compressedDepth png", "16UC1; compressedDepth", "16UC1", ""):
        metres = decode_compressed_depth(data, image_format)
        np.testing.assert_array_equal(np.isnan(metres), millimetres == 0)
        np.testing.assert_array_equal(np.nan_to_num(metres), millimetres / np.float32(1000))


def test_depth_png_without_the_header_is_tolerated(millimetres: NDArray[np.uint16]) -> None:
    headed = decode_compressed_depth(encode_compressed_depth(millimetres), "16UC1; compressedDepth")
    bare = decode_compressed_depth(encode_png(millimetres), "16UC1; png")
    np.testing.assert_array_equal(bare, headed)


def test_inverse_depth_is_undone() -> None:
    """32FC1 as the plugin quantises it: v = A / z + B, with its default parameters."""
    metres = np.linspace(0.3, 9.9, 2400, dtype=np.float32).reshape(40, 60)
    metres[0, :5] = np.nan
    quantisation, furthest = np.float32(100.0), np.float32(10.0)
    a = quantisation * (quantisation + 1)
    b = 1 - a / furthest
    with np.errstate(invalid="ignore"):
        values = np.where(metres < furthest, a / metres + b, 0).astype(np.uint16)
    data = struct.pack("<iff", 1, a, b) + encode_png(values)
    decoded = decode_compressed_depth(data, "32FC1; compressedDepth png")
    np.testing.assert_array_equal(np.isnan(decoded), np.isnan(metres))
    # One step of the quantiser is z * z / A metres.
    assert np.nanmax(np.abs(decoded - metres) / (metres**2 / a)) < 1.1


def test_inverse_depth_with_zero_parameters_has_no_reading() -> None:
    values = np.full((8, 8), 5, np.uint16)
    data = struct.pack("<iff", 1, 0.0, 5.0) + encode_png(values)
    assert np.isnan(decode_compressed_depth(data, "32FC1; compressedDepth png")).all()


@pytest.mark.parametrize(
    ("data", "image_format", "reason"),
    [
        (b"", "16UC1; compressedDepth png", "truncated_data"),
        (bytes(11), "16UC1; compressedDepth png", "truncated_data"),
        (bytes(12), "16UC1; compressedDepth png", "unknown_encoding"),
        (bytes(400), "16UC1; compressedDepth rvl", "unknown_encoding"),
        (
            bytes(12) + encode_png(np.zeros((4, 4), np.uint8)),
            "16UC1; compressedDepth png",
            "unknown_encoding",
        ),
        (encode_jpeg(np.zeros((8, 8, 3), np.uint8)), "jpeg", "unknown_encoding"),
    ],
)
def test_depth_refusals_have_a_reason(data: bytes, image_format: str, reason: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_compressed_depth(data, image_format)
    assert caught.value.reason == reason


def test_only_millimetres_are_encoded_as_depth() -> None:
    with pytest.raises(ConfigError, match="float32 \\(4, 4\\) cannot be sent"):
        encode_compressed_depth(np.ones((4, 4), np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("image_format", ["", "png", "mono8; png compressed mono8"])
def test_class_indices_survive_png(dtype: type[np.generic], image_format: str) -> None:
    labels = np.array([[0, 1, 2], [254, 255, 3]], dtype)
    decoded = decode_compressed_labels(encode_png(labels), image_format)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, labels)


def test_only_what_keeps_class_indices_is_taken_for_a_mask(rgb: UInt8Array) -> None:
    grey = np.ascontiguousarray(rgb[:, :, 0])
    _, two_colors = cv2.imencode(".png", grey % 2, [cv2.IMWRITE_PNG_BILEVEL, 1])
    for data in (encode_png(rgb), encode_jpeg(grey), two_colors):
        with pytest.raises(MessageError, match="is no grey PNG") as caught:
            decode_compressed_labels(data, "jpeg")
        assert caught.value.reason == "unknown_encoding"
    with pytest.raises(MessageError) as caught:
        decode_compressed_labels(encode_png(grey)[:-20])
    assert caught.value.reason == "truncated_data"
