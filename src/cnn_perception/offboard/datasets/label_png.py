"""Masks stored as PNG: class ids as palette indices, grey values or VOC's colors."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.dataset import read_bytes
from cnn_perception.types import UInt8Array

__all__ = ["read_label_png", "voc_palette"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_MOST_PIXELS = 1 << 27


def voc_palette() -> UInt8Array:
    """Return uint8 (256, 3) RGB: the color of each class id in Pascal VOC's masks.

    The bits of the id are dealt to red, green and blue in turn, highest first (VOCcolormap of the
    VOC development kit).
    """
    ids = np.arange(256)
    colors = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            source = 3 * bit + channel
            if source < 8:
                colors[:, channel] |= ((ids >> source) & 1) << (7 - bit)
    return colors.astype(np.uint8)


def read_label_png(path: Path) -> UInt8Array:
    """Return uint8 (H, W) class ids of a PNG.

    Palette images give their indices, whatever the palette; grey images up to 8 bits their values;
    RGB images must hold colors of `voc_palette`. Raises DatasetError for anything else.
    """
    data = read_bytes(path)
    chunks = _chunks(data, path)
    header = chunks[0][1]
    width, height, depth, color_type = struct.unpack(">IIBB", header[:10])
    if width * height > _MOST_PIXELS:
        raise DatasetError(f"{path} claims {width}x{height} pixels: copy it again or take it off")
    if color_type in (_GREY, _PALETTE) and depth <= 8:
        return _decode(_with_identity_palette(chunks, depth), path)[:, :, 0]
    if color_type == _GREY or depth != 8:
        raise DatasetError(f"{path} has {depth} bits per value: save class ids with 8 bits")
    return _ids_of_colors(_decode(data, path), path)


def _chunks(data: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """Return (type, content) of each chunk, the header first."""
    found: list[tuple[bytes, bytes]] = []
    position = len(_SIGNATURE)
    if data[:position] != _SIGNATURE:
        raise DatasetError(f"{path} is no PNG, which alone keeps class ids: save the mask as PNG")
    while not found or found[-1][0] != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        kind, content = data[position + 4 : position + 8], data[position + 8 :][:length]
        position += 12 + length
        if position > len(data):
            raise DatasetError(f"{path} is cut short: copy it again or take it off the list")
        found.append((kind, content))
    if found[0][0] != b"IHDR" or len(found[0][1]) != 13:
        raise DatasetError(f"{path} has no PNG header: copy it again or take it off the list")
    return found


def _with_identity_palette(chunks: list[tuple[bytes, bytes]], depth: int) -> bytes:
    """Return the PNG with each index's color replaced by the index itself.

    OpenCV only hands out colors, stretches grey values of few bits, and two indices may share a
    color. The pixels' bytes are the same for grey values and palette indices.
    """
    header = bytearray(chunks[0][1])
    header[9] = _PALETTE
    identity = bytes(value for value in range(1 << depth) for _ in range(3))
    pixels = [chunk for chunk in chunks if chunk[0] == b"IDAT"]
    parts = [(b"IHDR", bytes(header)), (b"PLTE", identity), *pixels, (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def _decode(data: bytes, path: Path) -> UInt8Array:
    """Return BGR uint8 (H, W, 3)."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.size == 0:
        raise DatasetError(f"{path} does not decode: copy it again or take it off the list")
    return np.asarray(pixels, np.uint8)


def _ids_of_colors(bgr: UInt8Array, path: Path) -> UInt8Array:
    codes = bgr.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
    palette = voc_palette().astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    order = np.argsort(palette)
    place = np.minimum(np.searchsorted(palette[order], codes), len(palette) - 1)
    ids = order[place]
    strange = palette[ids] != codes
    if strange.any():
        blue, green, red = bgr[strange][0].tolist()
        raise DatasetError(
            f"{path} shows the color ({red}, {green}, {blue}), which is none of Pascal VOC's: "
            "save class ids as grey values or palette indices"
        )
    return ids.astype(np.uint8)
