"""Encoded images: JPEG, PNG and compressedDepth, as image_transport_plugins send them."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError, MessageError
from cnn_perception.image.pixels import (
    as_bytes,
    clean_metres,
    image_bytes,
    millimetres_to_metres,
    to_depth,
    to_labels,
    to_rgb,
)
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "decode_compressed",
    "decode_compressed_depth",
    "decode_compressed_labels",
    "encode_compressed_depth",
    "encode_jpeg",
    "encode_png",
    "image_bytes",
    "to_depth",
    "to_labels",
    "to_rgb",
]

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG = b"\xff\xd8\xff"
_MOST_PIXELS = 1 << 27
# compressed_depth_image_transport's ConfigHeader: enum format, then two quantisation parameters.
_DEPTH_HEADER = struct.Struct("<iff")
_INVERSE_DEPTH = 1
_PNG_BITS = 24  # offset of the bit depth in IHDR, the first chunk


def encode_jpeg(rgb: UInt8Array, quality: int = 90) -> bytes:
    """Return an RGB uint8 (H, W, 3) or grey (H, W) image as JPEG; quality is 1..100."""
    return _encode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(array: NDArray[Any], level: int = 3) -> bytes:
    """Return RGB(A) or grey uint8 or uint16 as PNG, without loss; level is 0 (fast)..9 (small)."""
    return _encode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, level])


def encode_compressed_depth(depth_mm: NDArray[np.uint16], level: int = 1) -> bytes:
    """Return depth uint16 (H, W) millimetres as data of format ``16UC1; compressedDepth png``."""
    if depth_mm.dtype != np.uint16 or depth_mm.ndim != 2:
        raise ConfigError(
            f"depth of {depth_mm.dtype} {depth_mm.shape} cannot be sent as compressedDepth: give "
            "uint16 (H, W) millimetres"
        )
    return _DEPTH_HEADER.pack(_INVERSE_DEPTH, 0.0, 0.0) + encode_png(depth_mm, level)


def decode_compressed(data: Any, image_format: str = "") -> UInt8Array:
    """Return JPEG or PNG data as RGB uint8 (H, W, 3).

    `image_format` is CompressedImage.format: ``jpeg``, ``png``, or as image_transport_plugins write
    it, ``rgb8; jpeg compressed bgr8``. The data themselves say whether they are JPEG or PNG; the
    format matters only for Bayer mosaics sent as grey and for colors compressed in RGB order. An
    EXIF orientation is not applied, so that pixels stay those of camera_info. Raises MessageError:
    ``unknown_encoding``, ``corrupt_image``, ``truncated_data``, ``image_too_large``.
    """
    pixels = _decode(as_bytes(data), image_format)
    source, _, rest = image_format.partition(";")
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0)
    if pixels.ndim == 2:
        height, width = pixels.shape
        bayer = source.strip().removesuffix("16").removesuffix("8") + "8"
        encoding = bayer if bayer.startswith("bayer_") else "mono8"
        return to_rgb(pixels, height, width, width, encoding)
    if pixels.shape[2] == 4:
        pixels = pixels[:, :, :3]
    if "compressed rgb" in rest:
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def decode_compressed_depth(data: Any, image_format: str = "") -> Float32Array:
    """Return compressedDepth data as float32 (H, W) metres, NaN where there is no reading.

    `image_format` is ``16UC1; compressedDepth png`` (millimetres) or ``32FC1; compressedDepth png``
    (inverse depth, quantised: z = A / (v - B) with A and B from the 12-byte header). A 16-bit PNG
    without the header is millimetres. The codec ``rvl`` is not supported. Raises MessageError as
    `decode_compressed`.
    """
    raw = as_bytes(data)
    source, _, rest = image_format.partition(";")
    if "rvl" in rest:
        raise MessageError(
            "unknown_encoding",
            f"format {image_format!r} cannot be read: set the publisher's compressedDepth format "
            "to png",
        )
    a = b = 0.0
    headed = raw[:8].tobytes() != _PNG
    if headed:
        if raw.size < _DEPTH_HEADER.size:
            raise MessageError(
                "truncated_data", f"compressedDepth data have {raw.size} bytes: fix the publisher"
            )
        _, a, b = _DEPTH_HEADER.unpack(raw[: _DEPTH_HEADER.size].tobytes())
        raw = raw[_DEPTH_HEADER.size :]
    values = _decode(raw, image_format)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise MessageError(
            "unknown_encoding",
            f"depth of format {image_format!r} holds {values.dtype} pixels of shape "
            f"{values.shape}: send a 16-bit grey PNG",
        )
    if headed and source.strip() == "32FC1":
        return _from_inverse_depth(values, a, b)
    return millimetres_to_metres(values)


def decode_compressed_labels(
    data: Any, image_format: str = ""
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a PNG of class indices as uint8 or uint16 (H, W).

    Only grey PNGs of 8 or 16 bits are taken: JPEG blends neighbouring classes into others, and
    decoders stretch fewer bits to 0..255. Raises MessageError as `decode_compressed`.
    """
    raw = as_bytes(data)
    labels = _decode(raw, image_format)
    if raw[:8].tobytes() != _PNG or labels.ndim != 2 or raw[_PNG_BITS] not in (8, 16):
        raise MessageError(
            "unknown_encoding",
            f"a mask of format {image_format!r} is no grey PNG of 8 or 16 bits, which alone keeps "
            "class indices: set the publisher's format to png",
        )
    return labels


def _from_inverse_depth(values: NDArray[np.uint16], a: float, b: float) -> Float32Array:
    with np.errstate(all="ignore"):
        metres = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    np.copyto(metres, np.nan, where=values == 0)
    return clean_metres(metres)


def _encode(suffix: str, array: NDArray[Any], parameters: list[int]) -> bytes:
    if array.ndim == 3:
        code = cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR
        array = cv2.cvtColor(array, code)
    done, encoded = cv2.imencode(suffix, array, parameters)
    if not done:
        raise ConfigError(f"an array of {array.dtype} {array.shape} cannot be written as {suffix}")
    return bytes(encoded)


def _decode(raw: UInt8Array, image_format: str) -> NDArray[Any]:
    """Return what the data hold, uint8 or uint16, grey or BGR(A)."""
    start = raw[:8].tobytes()
    if start == _PNG:
        _check_png(raw)
    elif start[:3] == _JPEG:
        _check_jpeg(raw)
    else:
        raise MessageError(
            "unknown_encoding",
            f"compressed image of format {image_format!r} and {raw.size} bytes is neither JPEG nor "
            "PNG: set the publisher's format to jpeg or png",
        )
    try:
        pixels = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16):
        raise MessageError(
            "corrupt_image",
            f"compressed image of format {image_format!r} and {raw.size} bytes does not decode: "
            "check the publisher and the link",
        )
    return np.asarray(pixels)


def _check_png(raw: UInt8Array) -> None:
    """Refuse a PNG that is cut short or claims an absurd size, before any pixel is allocated."""
    if raw.size < 24 or _PNG_END not in raw[-64:].tobytes():
        raise _cut(raw.size, "PNG")
    width, height = struct.unpack(">II", raw[16:24].tobytes())
    _check_size(width, height)


def _check_jpeg(raw: UInt8Array) -> None:
    """Refuse a JPEG that is cut short or claims an absurd size, before any pixel is allocated.

    The decoder would fill the missing part with grey, in which a network sees nothing.
    """
    data = raw.tobytes()
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            if data.find(b"\xff\xd9", position) < 0:
                raise _cut(len(data), "JPEG")
            return
        if (
            0xC0 <= marker <= 0xCF
            and marker not in (0xC4, 0xC8, 0xCC)
            and position + 9 <= len(data)
        ):
            height, width = struct.unpack_from(">HH", data, position + 5)
            _check_size(width, height)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise _cut(len(data), "JPEG")


def _check_size(width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise MessageError(
            "image_too_large",
            f"compressed image claims {width}x{height} pixels, more than {_MOST_PIXELS}: check "
            "the publisher",
        )


def _cut(size: int, kind: str) -> MessageError:
    return MessageError(
        "truncated_data",
        f"{kind} data end early, after {size} bytes: check the driver and the link",
    )
