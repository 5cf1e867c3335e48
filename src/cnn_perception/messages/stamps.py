"""Stamps as integer nanoseconds, and time that goes back."""

from __future__ import annotations

import struct
from typing import Any

from cnn_perception.errors import MessageError

__all__ = [
    "BACKWARD_JUMP_NS",
    "REWIND_SLACK_NS",
    "JumpDetector",
    "header_stamp_ns",
    "ns_to_stamp",
    "stamp_to_ns",
]

BACKWARD_JUMP_NS = 100_000_000
"""Stamps of one camera never go back; less is two cameras on one topic, or messages reordered."""

REWIND_SLACK_NS = 1_000_000_000
"""Frames of the new time, of other cameras, may be this much ahead of the one that went back."""

_SECOND = 1_000_000_000


def stamp_to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time (``sec``, ``nanosec``) as nanoseconds."""
    return int(stamp.sec) * _SECOND + int(stamp.nanosec)


def header_stamp_ns(data: bytes | memoryview) -> int:
    """Return the stamp, nanoseconds, of a serialised message that begins with a std_msgs/Header.

    `data` is CDR of either byte order, with its encapsulation header. Raises
    MessageError(``truncated_data``) for fewer bytes than a stamp needs.
    """
    if len(data) < 12:
        raise MessageError(
            "truncated_data",
            f"a serialised message of {len(data)} bytes has no room for a header: record it again",
        )
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * _SECOND + int(nanoseconds)


def ns_to_stamp(stamp_ns: int) -> tuple[int, int]:
    """Return nanoseconds as (sec, nanosec) with 0 <= nanosec < 1e9."""
    return divmod(stamp_ns, _SECOND)


class JumpDetector:
    """Notices when the stamps of a topic go back by more than messages get out of order."""

    def __init__(self) -> None:
        self._last_ns: dict[str, int] = {}

    def jump_ns(self, topic: str, stamp_ns: int) -> int:
        """Take the stamp of the next message; return by how much time went back, else 0."""
        back = self._last_ns.get(topic, stamp_ns) - stamp_ns
        self._last_ns[topic] = stamp_ns
        return back if back > BACKWARD_JUMP_NS else 0

    def reset(self) -> None:
        """Begin anew."""
        self._last_ns.clear()
