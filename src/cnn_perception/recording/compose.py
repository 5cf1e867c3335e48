"""The encoder of recordings: the rosbags library's messages, built without ROS."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype

from cnn_perception.messages.encode import Encoder
from cnn_perception.recording.bag import typestore

__all__ = ["CAMERA_FRAME", "START_NS", "encode"]

START_NS = 1_700_000_000_000_000_000
"""Stamp of a recording's first image: fixed, so that equal input gives equal bags."""

CAMERA_FRAME = "camera_optical_frame"
"""Frame of a recording's images (REP-103)."""

_SCALARS: dict[str, Callable[[], Any]] = {
    "bool": bool,
    "float32": float,
    "float64": float,
    "string": str,
}
"""What a field starts as; of any other type it is a whole number."""

_BYTES = {"byte": "uint8", "char": "uint8"}
"""Names of numbers in definitions that are not numpy's."""

_DEFAULTS: dict[tuple[str, str], Callable[[], Any]] = {
    ("geometry_msgs/msg/Quaternion", "w"): lambda: 1.0,
}
"""Defaults that are written in definitions, which the library does not keep, of what is encoded."""


class _BagMessages:
    """Messages of the classes that `typestore` holds."""

    def message(self, msgtype: str, /, **fields: Any) -> Any:
        for name, default in _defaults(msgtype):
            if name not in fields:
                fields[name] = default()
        return typestore().types[msgtype](**fields)

    def sequence(self, values: NDArray[Any]) -> NDArray[Any]:
        return values


_MESSAGES = _BagMessages()


@cache
def _defaults(msgtype: str) -> tuple[tuple[str, Callable[[], Any]], ...]:
    """Return each field's name and what makes its default, a new one each time."""
    return tuple(
        (name, _DEFAULTS.get((msgtype, name)) or _default(kind, detail))
        for name, (kind, detail) in typestore().fielddefs[msgtype][1]
    )


def _default(kind: Nodetype, detail: Any) -> Callable[[], Any]:
    if kind is Nodetype.NAME:
        return partial(_MESSAGES.message, detail)
    if kind is Nodetype.BASE:
        return _SCALARS.get(detail[0], int)
    (item_kind, item), size = detail
    count = size if kind is Nodetype.ARRAY else 0
    if item_kind is Nodetype.BASE and _SCALARS.get(item[0]) is not str:
        return partial(np.zeros, count, _BYTES.get(item[0], item[0]))
    make = _default(item_kind, item)
    return lambda: [make() for _ in range(count)]


encode = Encoder(_MESSAGES)
"""Makes messages to write with `BagWriter`; a bag's own headers are passed through untouched."""
