"""Raw encodings: each against OpenCV's own conversion or values by hand."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
import pytest

from cnn_perception.errors import ConfigError, MessageError
from cnn_perception.image.pixels import as_bytes, image_bytes, to_depth, to_labels, to_rgb
from cnn_perception.types import UInt8Array

HEIGHT, WIDTH = 12, 18


@pytest.fixture
def rgb() -> UInt8Array:
    """A smooth picture with all three channels different."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 12 + 10, y * 18 + 20, 200 - x * 5 - y * 4], axis=-1).astype(np.uint8)


def _padded(pixels: np.ndarray[Any, Any], padding: int) -> tuple[bytes, int]:
    """Rows with `padding` bytes of rubbish after each, and the step."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    wide = np.full((len(rows), rows.shape[1] + padding), 0xAB, np.uint8)
    wide[:, : rows.shape[1]] = rows
    return wide.tobytes(), wide.shape[1]


def _pack_yuv422(rgb: UInt8Array, order: str) -> UInt8Array:
    """BT.601 video range 4:2:2 by the textbook's formula, chroma of each pair averaged."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    u = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    v = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    pairs = {
        "y": y[:, 0::2],
        "Y": y[:, 1::2],
        "u": (u[:, 0::2] + u[:, 1::2]) / 2,
        "v": (v[:, 0::2] + v[:, 1::2]) / 2,
    }
    packed = np.stack([pairs[letter] for letter in order], axis=-1)
    return np.round(packed).astype(np.uint8).reshape(rgb.shape[0], rgb.shape[1], 2)


@pytest.mark.parametrize("padding", [0, 1, 7, 64])
@pytest.mark.parametrize(
    ("encoding", "code"),
    [
        ("rgb8", None),
        ("bgr8", cv2.COLOR_RGB2BGR),
        ("8UC3", cv2.COLOR_RGB2BGR),
        ("rgba8", cv2.COLOR_RGB2RGBA),
        ("bgra8", cv2.COLOR_RGB2BGRA),
        ("8UC4", cv2.COLOR_RGB2BGRA),
    ],
)
def test_color_roundtrip(rgb: UInt8Array, encoding: str, code: int | None, padding: int) -> None:
    data, step = _padded(rgb if code is None else cv2.cvtColor(rgb, code), padding)
    decoded = to_rgb(data, HEIGHT, WIDTH, step, encoding)
    np.testing.assert_array_equal(decoded, rgb)
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_becomes_three_equal_channels(rgb: UInt8Array, encoding: str) -> None:
    grey = np.ascontiguousarray(rgb[:, :, 0])
    data, step = _padded(grey, 3)
    decoded = to_rgb(data, HEIGHT, WIDTH, step, encoding)
    np.testing.assert_array_equal(decoded, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgr16", "rgba16", "bgra16"])
def test_sixteen_bits_scale_to_eight_in_both_byte_orders(
    rgb: UInt8Array, encoding: str, big: bool
) -> None:
    wide = rgb.astype(np.uint16) * 257
    expected = rgb
    if encoding == "mono16":
        wide = wide[:, :, 1]
        expected = np.repeat(rgb[:, :, 1:2], 3, axis=2)
    elif encoding != "rgb16":
        wide = cv2.cvtColor(wide, getattr(cv2, f"COLOR_RGB2{encoding[:-2].upper()}"))
    data, step = _padded(wide.astype(">u2" if big else "<u2"), 5)
    np.testing.assert_array_equal(to_rgb(data, HEIGHT, WIDTH, step, encoding, big), expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_mosaic_of_one_color_gives_that_color(pattern: str, bits: int) -> None:
    color = {"r": 200, "g": 100, "b": 50}
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint8)
    for i, letter in enumerate(pattern):
        mosaic[i // 2 :: 2, i % 2 :: 2] = color[letter]
    pixels = mosaic if bits == 8 else mosaic.astype(np.uint16) * 257
    data, step = _padded(pixels, 2)
    decoded = to_rgb(data, HEIGHT, WIDTH, step, f"bayer_{pattern}{bits}")
    assert (decoded == (200, 100, 50)).all()


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("uyvy", "uyvY"), ("yuv422", "uyvY"), ("yuyv", "yuYv"), ("yuv422_yuy2", "yuYv")],
)
def test_yuv422(encoding: str, order: str) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH] // 2 * 2
    rgb = np.stack([x * 12 + 10, y * 18 + 20, 200 - x * 5 - y * 4], axis=-1).astype(np.uint8)
    data, step = _padded(_pack_yuv422(rgb, order), 4)
    decoded = to_rgb(data, HEIGHT, WIDTH, step, encoding)
    assert np.abs(decoded.astype(int) - rgb).max() <= 3


def test_yuv422_cannot_be_odd() -> None:
    with pytest.raises(MessageError, match=r"5x4 .* even width") as caught:
        to_rgb(bytes(40), 4, 5, 10, "uyvy")
    assert caught.value.reason == "odd_size"


@pytest.mark.parametrize(
    "wrap",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: array.array("B", data),
        lambda data: np.frombuffer(data, np.uint8),
        lambda data: np.frombuffer(data, np.int8),
        lambda data: np.repeat(np.frombuffer(data, np.uint8), 2)[::2],
        list,
        tuple,
    ],
)
def test_every_kind_of_data_field(rgb: UInt8Array, wrap: Any) -> None:
    decoded = to_rgb(wrap(rgb.tobytes()), HEIGHT, WIDTH, 3 * WIDTH, "rgb8")
    np.testing.assert_array_equal(decoded, rgb)


def test_bytes_are_read_in_place_but_results_are_kept_safely(rgb: UInt8Array) -> None:
    data = array.array("B", rgb.tobytes())
    assert np.shares_memory(as_bytes(data), np.frombuffer(data, np.uint8))
    decoded = [
        to_rgb(data, HEIGHT, WIDTH, 3 * WIDTH, "rgb8"),
        to_rgb(data, HEIGHT, WIDTH, 3 * WIDTH, "bgr8"),
        to_labels(data, HEIGHT, WIDTH, 3 * WIDTH, "mono8"),
        to_depth(data, HEIGHT, WIDTH // 2, 3 * WIDTH, "32FC1"),
    ]
    before = [each.copy() for each in decoded]
    for i in range(len(data)):
        data[i] = 255
    for each, kept in zip(decoded, before, strict=True):
        np.testing.assert_array_equal(each, kept)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((b"", 0, 4, 12, "rgb8"), "empty_image"),
        ((bytes(48), 4, 0, 12, "rgb8"), "empty_image"),
        ((bytes(48), 4, 4, 11, "rgb8"), "wrong_step"),
        ((bytes(48), 4, 4, 0, "rgb8"), "wrong_step"),
        ((bytes(47), 4, 4, 12, "rgb8"), "truncated_data"),
        ((b"", 4, 4, 12, "rgb8"), "truncated_data"),
        ((bytes(48), 2**32 - 1, 2**32 - 1, 2**32 - 1, "mono8"), "truncated_data"),
        ((bytes(48), 4, 4, 12, "rgb9"), "unknown_encoding"),
        ((bytes(48), 4, 4, 12, ""), "unknown_encoding"),
        ((bytes(64), 4, 4, 16, "32FC1"), "unknown_encoding"),
        ((bytes(4), 2, 2, 2, "bayer_rggb8"), "odd_size"),
    ],
)
def test_refusals_have_a_reason(arguments: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(MessageError) as caught:
        to_rgb(*arguments)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_last_row_needs_no_padding(rgb: UInt8Array) -> None:
    data, step = _padded(rgb, 10)
    np.testing.assert_array_equal(to_rgb(data[:-10], HEIGHT, WIDTH, step, "rgb8"), rgb)
    with pytest.raises(MessageError, match=f"has {len(data) - 11} bytes of {len(data) - 10}"):
        to_rgb(data[:-11], HEIGHT, WIDTH, step, "rgb8")


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_depth_in_millimetres(encoding: str, big: bool) -> None:
    depth = np.array([[0, 1, 1000], [65534, 65535, 2500]], ">u2" if big else "<u2")
    data, step = _padded(depth, 3)
    metres = to_depth(data, 2, 3, step, encoding, big)
    nan = np.nan
    np.testing.assert_array_equal(
        metres, np.array([[nan, 0.001, 1.0], [65.534, nan, 2.5]], np.float32)
    )
    assert metres.dtype == np.float32


@pytest.mark.parametrize("big", [False, True])
def test_depth_in_metres(big: bool) -> None:
    inf, nan = np.inf, np.nan
    depth = np.array([[0.0, -1.0, 1.25], [inf, nan, -inf]], ">f4" if big else "<f4")
    data, step = _padded(depth, 4)
    metres = to_depth(data, 2, 3, step, "32FC1", big)
    np.testing.assert_array_equal(metres, np.array([[nan, nan, 1.25], [nan, nan, nan]]))
    assert metres.flags.writeable


def test_depth_refuses_color() -> None:
    with pytest.raises(MessageError, match="'rgb8' is not a depth image: publish one of 16UC1"):
        to_depth(bytes(48), 4, 4, 12, "rgb8")


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16", "16UC1"])
def test_labels(encoding: str) -> None:
    wide = "16" in encoding
    labels = np.arange(12).reshape(3, 4) * (1000 if wide else 20)
    for big in (False, True):
        order = ">" if big else "<"
        data, step = _padded(labels.astype(f"{order}u2" if wide else "u1"), 1)
        decoded = to_labels(data, 3, 4, step, encoding, big)
        np.testing.assert_array_equal(decoded, labels)
        assert decoded.dtype == (np.uint16 if wide else np.uint8)


@pytest.mark.parametrize(
    ("dtype", "shape", "encoding"),
    [
        (np.uint8, (4, 6, 3), "rgb8"),
        (np.uint8, (4, 6, 4), "rgba8"),
        (np.uint8, (4, 6), "mono8"),
        (np.uint16, (4, 6), "mono16"),
        (">u2", (4, 6), "mono16"),
        (np.float32, (4, 6), "32FC1"),
    ],
)
def test_image_bytes(dtype: Any, shape: tuple[int, ...], encoding: str) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape).astype(dtype)
    name, step, fit = image_bytes(pixels)
    assert (name, step) == (encoding, fit.nbytes // 4)
    np.testing.assert_array_equal(fit, pixels)
    assert fit.tobytes() == pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def test_image_bytes_of_one_row_have_its_length_as_step() -> None:
    pixels = np.arange(4 * 6, dtype=np.uint16).reshape(4, 6)
    for row in (pixels[::-1][:1], pixels[::4], pixels[::-1, ::-1][:1, :1]):
        _, step, fit = image_bytes(row)
        assert step == fit.nbytes == len(fit.tobytes())


def test_image_bytes_copies_only_what_is_not_contiguous() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert np.shares_memory(image_bytes(pixels)[2], pixels)
    view = pixels[:, ::2]
    assert image_bytes(view)[1] == 9
    assert not np.shares_memory(image_bytes(view)[2], pixels)


@pytest.mark.parametrize(
    "bad", [np.zeros(3, np.uint8), np.zeros((2, 2)), np.zeros((0, 2), np.uint8)]
)
def test_image_bytes_refuses_what_is_no_image(bad: Any) -> None:
    with pytest.raises(ConfigError, match="is not an image"):
        image_bytes(bad)
