"""The encoder of the nodes: rclpy's messages."""

from __future__ import annotations

import array
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message

from cnn_perception.messages.encode import CubeList, Encoder
from cnn_perception.ros.marker_stream import serialised
from cnn_perception.types import Header

__all__ = ["encode", "interface"]


class _RosMessages:
    """Messages of the classes that ROS generated."""

    def message(self, msgtype: str, /, **fields: Any) -> Any:
        return interface(msgtype)(**fields)

    def sequence(self, values: NDArray[Any]) -> array.array[Any]:
        # Assigning an ndarray would walk it element by element, 240 ms for 640x480.
        data: array.array[Any] = array.array(values.dtype.char)
        data.frombytes(values.view(np.uint8).data)
        return data


@cache
def interface(name: str) -> Any:
    """Return a class of ROS's, by a name as ``sensor_msgs/msg/Image``; raises ImportError."""
    package, folder, kind = name.split("/")
    try:
        return getattr(import_module(f"{package}.{folder}"), kind)
    except AttributeError as error:
        raise ImportError(f"{package} has no {kind}: it is of another version") from error


class _RosEncoder(Encoder):
    """Publishes cubes in their serialised form, unless this ROS reads it otherwise."""

    def cubes(self, header: Any, lists: Sequence[CubeList]) -> Any:
        return serialised(header, lists) if _layout_is_known() else super().cubes(header, lists)


@cache
def _layout_is_known() -> bool:
    """Say whether this ROS reads what `serialised` writes: Markers of other releases may differ."""
    centers = np.arange(6.0).reshape(2, 3)
    colors = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)
    lists = [
        CubeList(centers, 0.5, (0.0, 0.25, 0.5, 1.0), colors),
        CubeList(centers[:1], 1.0, (1.0, 0.0, 0.0, 0.5)),
        CubeList(centers[:0], 2.0, (1.0, 0.0, 0.0, 0.5)),
    ]
    header = encode.header(Header(7_000_000_005, "map"))
    kind = interface("visualization_msgs/msg/MarkerArray")
    try:
        read = deserialize_message(serialised(header, lists), kind)
    except Exception:
        return False
    return bool(read == Encoder.cubes(encode, header, lists))


encode = _RosEncoder(_RosMessages())
"""Makes messages to publish; every header is passed through untouched."""
