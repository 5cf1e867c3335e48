"""Markers serialised straight from arrays.

A map has a hundred thousand cells, and one geometry_msgs/Point costs Python a few microseconds to
make and as many to serialise. So the message is written in its serialised form, in which a list of
points is one block of memory (CDR: OMG DDS-RTPS 2.3, section 10; visualization_msgs/Marker).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_perception.messages.encode import CubeList
from cnn_perception.types import Float32Array, Float64Array

__all__ = ["serialised"]

_LITTLE_ENDIAN_CDR = b"\x00\x01\x00\x00"
_CUBE_LIST, _DELETE = 6, 2


def serialised(header: Any, lists: Sequence[CubeList]) -> bytes:
    """Return a serialised visualization_msgs/MarkerArray."""
    stream = _Stream()
    stream.pack("I", len(lists))
    for number, cubes in enumerate(lists):
        _write_marker(stream, header, number, cubes)
    return stream.content()


class _Stream:
    """A CDR stream: numbers are aligned to their size, counted from behind the encapsulation."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [_LITTLE_ENDIAN_CDR]
        self._length = 0

    def raw(self, content: bytes, alignment: int) -> None:
        padding = -self._length % alignment
        self._parts.append(bytes(padding) + content)
        self._length += padding + len(content)

    def pack(self, code: str, *values: float) -> None:
        """Write numbers of one type, by its code in `struct`."""
        self.raw(struct.pack(f"<{len(values)}{code}", *values), struct.calcsize(f"<{code}"))

    def string(self, text: str) -> None:
        content = text.encode() + b"\x00"
        self.pack("I", len(content))
        self.raw(content, 1)

    def sequence(self, rows: Float32Array | Float64Array | None) -> None:
        """Write a sequence of structures that are rows of numbers."""
        self.pack("I", 0 if rows is None else len(rows))
        if rows is not None and len(rows):
            little = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
            self.raw(little.tobytes(), rows.dtype.itemsize)

    def content(self) -> bytes:
        return b"".join(self._parts)


def _write_marker(stream: _Stream, header: Any, number: int, cubes: CubeList) -> None:
    stream.pack("i", header.stamp.sec)
    stream.pack("I", header.stamp.nanosec)
    stream.string(header.frame_id)
    stream.string(cubes.namespace)
    stream.pack("i", number, _CUBE_LIST, 0 if len(cubes.centers) else _DELETE)
    stream.pack("d", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    stream.pack("d", cubes.edge, cubes.edge, cubes.edge)
    stream.pack("f", *cubes.color)
    stream.pack("I", 0, 0)  # lifetime
    stream.pack("B", 0)  # frame_locked
    stream.sequence(cubes.centers)
    stream.sequence(cubes.colors)
    stream.string("")  # texture_resource
    stream.pack("I", 0, 0)  # texture: header, format, data
    stream.string("")
    stream.string("")
    stream.pack("I", 0)
    stream.pack("I", 0)  # uv_coordinates
    stream.string("")  # text
    stream.string("")  # mesh_resource
    stream.string("")  # mesh_file: filename, data
    stream.pack("I", 0)
    stream.pack("B", 0)  # mesh_use_embedded_materials
