"""Maps as marker messages, serialised straight from arrays.

A map has a hundred thousand cells, and one geometry_msgs/Point costs Python a few microseconds to
make and as many to serialise. So the message is written in its serialised form, in which a list of
points is one block of memory (CDR: OMG DDS-RTPS 2.3, section 10; visualization_msgs/Marker).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from geometry_msgs.msg import Point
from rclpy.serialization import deserialize_message
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.types import Float32Array, Float64Array, IntArray

__all__ = ["CubeList", "cell_markers", "cube_lists", "marker_array", "serialised"]

_LITTLE_ENDIAN_CDR = b"\x00\x01\x00\x00"
Color = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class CubeList:
    """Cubes of one size: centers float64 (N, 3), edge in metres; one colour, or one for each.

    color: RGBA in [0, 1]; colors: float32 (N, 4) or None. Viewers show and hide by namespace.
    """

    centers: Float64Array
    edge: float
    color: Color
    colors: Float32Array | None = None
    namespace: str = "map"


def cell_markers(
    header: Header,
    leaves: Leaves,
    resolution: float,
    palette: Float32Array,
    shades: IntArray | None = None,
) -> bytes | MarkerArray:
    """Return a MarkerArray to be published: 17 CUBE_LISTs in namespace map, one per tree depth.

    palette: float32 (K, 4) RGBA in [0, 1]; shades: its index for each leaf, or None: all have the
    first. Depths without cells delete what was shown of them. Each cell takes 24 bytes, or 40 with
    shades.
    """
    return marker_array(header, cube_lists(leaves, resolution, palette, shades))


def cube_lists(
    leaves: Leaves, resolution: float, palette: Float32Array, shades: IntArray | None = None
) -> list[CubeList]:
    """Return the leaves by depth, from 0 to 16; see `cell_markers`."""
    red, green, blue, alpha = palette[0].astype(float).tolist()
    lists = []
    for depth in range(TREE_DEPTH + 1):
        span = 1 << (TREE_DEPTH - depth)
        chosen = np.flatnonzero(leaves.depths == depth)
        keys = leaves.keys[chosen].astype(np.float64)
        centers = (keys + (0.5 * span - KEY_ORIGIN)) * resolution
        colors = None if shades is None else palette[shades[chosen]].astype(np.float32)
        lists.append(CubeList(centers, span * resolution, (red, green, blue, alpha), colors))
    return lists


def marker_array(header: Header, lists: list[CubeList]) -> bytes | MarkerArray:
    """Return lists of cubes as a message to be published: serialised where this ROS allows it."""
    return serialised(header, lists) if _layout_is_known() else _as_objects(header, lists)


def serialised(header: Header, lists: list[CubeList]) -> bytes:
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


def _write_marker(stream: _Stream, header: Header, number: int, cubes: CubeList) -> None:
    stream.pack("i", header.stamp.sec)
    stream.pack("I", header.stamp.nanosec)
    stream.string(header.frame_id)
    stream.string(cubes.namespace)
    stream.pack("i", number, Marker.CUBE_LIST, _action(cubes))
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


def _as_objects(header: Header, lists: list[CubeList]) -> MarkerArray:
    """The same message, cell by cell."""
    message = MarkerArray()
    for number, cubes in enumerate(lists):
        marker = Marker(header=header, ns=cubes.namespace, id=number, type=Marker.CUBE_LIST)
        marker.action = _action(cubes)
        marker.pose.orientation.w = 1.0
        marker.scale.x = marker.scale.y = marker.scale.z = cubes.edge
        marker.color = _color(*cubes.color)
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in cubes.centers.tolist()]
        if cubes.colors is not None:
            marker.colors = [_color(*color) for color in cubes.colors.astype(float).tolist()]
        message.markers.append(marker)
    return message


def _action(cubes: CubeList) -> int:
    return int(Marker.ADD if len(cubes.centers) else Marker.DELETE)


def _color(red: float, green: float, blue: float, alpha: float) -> ColorRGBA:
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)


@lru_cache(maxsize=1)
def _layout_is_known() -> bool:
    """Say whether this ROS reads what `serialised` writes: Markers of other releases may differ."""
    header = Header(frame_id="map")
    header.stamp.sec, header.stamp.nanosec = 7, 5
    cubes = np.arange(6.0).reshape(2, 3)
    colors = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)
    lists = [
        CubeList(cubes, 0.5, (0.0, 0.25, 0.5, 1.0), colors),
        CubeList(cubes[:1], 1.0, (1.0, 0.0, 0.0, 0.5)),
        CubeList(cubes[:0], 2.0, (1.0, 0.0, 0.0, 0.5)),
    ]
    try:
        read = deserialize_message(serialised(header, lists), MarkerArray)
    except Exception:
        return False
    return bool(read == _as_objects(header, lists))
