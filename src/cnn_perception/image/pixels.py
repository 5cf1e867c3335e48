"""Raw pixels of sensor_msgs/Image: bytes, step and encoding to arrays and back.

Encodings are those of sensor_msgs/image_encodings; conversions agree with cv_bridge, except that
big-endian data are read as such. Depth follows REP-118.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError, MessageError
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "as_bytes",
    "clean_metres",
    "image_bytes",
    "millimetres_to_metres",
    "to_depth",
    "to_labels",
    "to_rgb",
]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one encoding lays out a pixel, and the OpenCV conversion that makes RGB of it."""

    dtype: str
    channels: int
    to_rgb: int | None = None
    even_width: bool = False
    bayer: bool = False


# OpenCV names a Bayer pattern by its second row, second column; ROS by the first row.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
_COLOR = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
}
_LAYOUTS: dict[str, _Layout] = {
    **{
        f"{name}{bits}": _Layout(dtype, channels, code)
        for name, (channels, code) in _COLOR.items()
        for bits, dtype in ((8, "u1"), (16, "u2"))
    },
    **{
        f"bayer_{name}{bits}": _Layout(dtype, 1, code, bayer=True)
        for name, code in _BAYER.items()
        for bits, dtype in ((8, "u1"), (16, "u2"))
    },
    # Untyped images are BGR, as in cv_bridge and OpenCV.
    "8UC1": _Layout("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Layout("u1", 3, cv2.COLOR_BGR2RGB),
    "8UC4": _Layout("u1", 4, cv2.COLOR_BGRA2RGB),
    "uyvy": _Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    "yuv422": _Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    "yuyv": _Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
    "yuv422_yuy2": _Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
}
_DEPTH_LAYOUTS = {
    "16UC1": _Layout("u2", 1),
    "mono16": _Layout("u2", 1),
    "32FC1": _Layout("f4", 1),
}
_LABEL_LAYOUTS = {
    "mono8": _Layout("u1", 1),
    "8UC1": _Layout("u1", 1),
    "mono16": _Layout("u2", 1),
    "16UC1": _Layout("u2", 1),
}
_ENCODINGS = {
    (np.dtype(np.uint8), 1): "mono8",
    (np.dtype(np.uint16), 1): "mono16",
    (np.dtype(np.float32), 1): "32FC1",
    (np.dtype(np.uint8), 3): "rgb8",
    (np.dtype(np.uint8), 4): "rgba8",
}


def as_bytes(data: Any) -> UInt8Array:
    """Return a message's data field as uint8 (N,), without a copy where it has a buffer.

    `data` is an array.array, bytes, memoryview or numpy array of bytes, or a sequence of integers.
    """
    if isinstance(data, np.ndarray):
        flat = data.reshape(-1)
        return flat.view(np.uint8) if flat.flags.c_contiguous else flat.copy().view(np.uint8)
    try:
        return np.frombuffer(data, np.uint8) if len(data) else np.zeros(0, np.uint8)
    except (TypeError, ValueError, BufferError):
        return np.asarray(data, np.uint8).reshape(-1)


def to_rgb(
    data: Any, height: int, width: int, step: int, encoding: str, is_bigendian: bool | int = False
) -> UInt8Array:
    """Return a color or grey image as RGB uint8 (height, width, 3), a copy of its own.

    `step` is the length of a row in bytes, padding included. 16-bit values map 0..65535 to 0..255;
    YUV is BT.601 at video range; alpha is dropped; Bayer mosaics are interpolated. Raises
    MessageError: ``empty_image``, ``unknown_encoding``, ``wrong_step``, ``truncated_data``,
    ``odd_size`` (a width or height that the encoding cannot have).
    """
    layout = _layout(encoding, _LAYOUTS, "a color image")
    if (layout.even_width and width % 2) or (layout.bayer and min(width, height) < 4):
        need = "an even width" if layout.even_width else "at least 4x4 pixels"
        raise MessageError(
            "odd_size",
            f"a {width}x{height} image cannot be {encoding}, which needs {need}: fix the driver",
        )
    pixels = _view(data, height, width, step, encoding, layout, is_bigendian)
    if layout.to_rgb is None:
        rgb = pixels if layout.dtype == "u1" else _native(pixels)
    else:
        rgb = cv2.cvtColor(_native(pixels), layout.to_rgb)
    if layout.dtype == "u2":
        return np.asarray(cv2.convertScaleAbs(rgb, alpha=255.0 / 65535.0), np.uint8)
    return rgb.copy() if layout.to_rgb is None else np.asarray(rgb, np.uint8)


def to_depth(
    data: Any, height: int, width: int, step: int, encoding: str, is_bigendian: bool | int = False
) -> Float32Array:
    """Return a depth image as float32 (height, width) metres, NaN where there is no reading.

    REP-118: ``16UC1`` (and ``mono16``) is millimetres with 0 for none, and 65535 as several drivers
    use it; ``32FC1`` is metres, where zero, negative, NaN and infinity mean none. Raises
    MessageError as `to_rgb`.
    """
    layout = _layout(encoding, _DEPTH_LAYOUTS, "a depth image")
    pixels = _native(_view(data, height, width, step, encoding, layout, is_bigendian))
    if layout.dtype == "u2":
        return millimetres_to_metres(pixels)
    return clean_metres(pixels.copy())


def millimetres_to_metres(depth: NDArray[np.uint16]) -> Float32Array:
    """Return uint16 millimetres as float32 metres, with NaN for 0 and 65535."""
    metres: Float32Array = np.divide(depth, np.float32(1000), dtype=np.float32)
    np.copyto(metres, np.nan, where=(depth == 0) | (depth == 65535))
    return metres


def clean_metres(depth: Float32Array) -> Float32Array:
    """Set what is not a positive finite distance to NaN, in place, and return the same array."""
    with np.errstate(invalid="ignore"):
        np.copyto(depth, np.nan, where=~((depth > 0) & (depth < np.inf)))
    return depth


def to_labels(
    data: Any, height: int, width: int, step: int, encoding: str, is_bigendian: bool | int = False
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a mask of class indices as uint8 or uint16 (height, width), a copy of its own.

    Encodings are mono8, 8UC1, mono16 and 16UC1. Raises MessageError as `to_rgb`.
    """
    layout = _layout(encoding, _LABEL_LAYOUTS, "a label image")
    pixels = _view(data, height, width, step, encoding, layout, is_bigendian)
    labels: NDArray[Any] = np.array(pixels, layout.dtype, order="C")
    return labels


def image_bytes(array: NDArray[Any]) -> tuple[str, int, NDArray[Any]]:
    """Return (encoding, step in bytes, C-contiguous little-endian array) that hold an image.

    uint8 (H, W, 3) is rgb8, (H, W, 4) rgba8, uint8 (H, W) mono8, uint16 (H, W) mono16 and float32
    (H, W) 32FC1; no copy is made of an array that is already fit. Raises ConfigError for another.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    encoding = _ENCODINGS.get((array.dtype.newbyteorder("="), channels))
    if encoding is None or array.ndim not in (2, 3) or 0 in array.shape:
        raise ConfigError(
            f"an array of {array.dtype} {array.shape} is not an image: give uint8 (H, W), "
            "(H, W, 3) or (H, W, 4), uint16 (H, W) or float32 (H, W)"
        )
    fit = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    # Of a single row numpy leaves the stride as it was, which may be negative.
    return encoding, fit.nbytes // len(fit), fit


def _layout(encoding: str, known: dict[str, _Layout], what: str) -> _Layout:
    layout = known.get(encoding)
    if layout is None:
        raise MessageError(
            "unknown_encoding",
            f"encoding {encoding!r} is not {what}: publish one of {', '.join(sorted(known))}",
        )
    return layout


def _view(
    data: Any,
    height: int,
    width: int,
    step: int,
    encoding: str,
    layout: _Layout,
    is_bigendian: bool | int,
) -> NDArray[Any]:
    """Return the pixels in place: (height, width[, channels]), rows `step` bytes apart."""
    if height <= 0 or width <= 0:
        raise MessageError("empty_image", f"the image is {width}x{height}: check the driver")
    dtype = np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")
    pixel = dtype.itemsize * layout.channels
    if step < width * pixel:
        raise MessageError(
            "wrong_step",
            f"step {step} is shorter than a row of {width} {encoding} pixels ({width * pixel} "
            "bytes): fix the driver",
        )
    raw = as_bytes(data)
    # The last row may come without its padding.
    need = (height - 1) * step + width * pixel
    if raw.size < need:
        raise MessageError(
            "truncated_data",
            f"a {width}x{height} {encoding} image with step {step} has {raw.size} bytes of "
            f"{need}: fix the driver",
        )
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, pixel)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, dtype.itemsize)
    pixels: NDArray[Any] = np.ndarray(shape, dtype, raw, 0, strides)
    return pixels


def _native(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in the machine's byte order and aligned, copied only where they are not."""
    native = pixels.dtype.newbyteorder("=")
    if pixels.dtype == native and pixels.flags.aligned:
        return pixels
    copied: NDArray[Any] = pixels.astype(native, order="C")
    return copied
