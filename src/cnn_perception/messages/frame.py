"""A received message, and its pixels or points, which are decoded once for all who read them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from cnn_perception.errors import MessageError
from cnn_perception.messages.decode import (
    decode_color,
    decode_depth,
    decode_header,
    decode_point_cloud,
)
from cnn_perception.types import Float32Array, Header, UInt8Array

__all__ = ["Frame"]


class Frame:
    """A message on its way through the components of a process. Safe to use from several threads.

    topic: where it came from; received_ns: when, on the host's clock, which is that of the machine
    or, in a replay, of the recorder; decode_s: seconds that decoding has taken.
    """

    __slots__ = ("_decoded", "_header", "_lock", "decode_s", "message", "received_ns", "topic")

    def __init__(self, message: Any, topic: str, received_ns: int) -> None:
        self.message = message
        self.topic = topic
        self.received_ns = received_ns
        self.decode_s = 0.0
        self._header: Header | None = None
        self._decoded: dict[Callable[[Any], Any], Any] = {}
        self._lock = threading.Lock()

    @property
    def header(self) -> Header:
        """Stamp and frame; of a message that has no header, when it was received, and no frame."""
        if self._header is None:
            header = getattr(self.message, "header", None)
            known = Header(self.received_ns, "") if header is None else decode_header(header)
            self._header = known
        return self._header

    def color(self) -> UInt8Array:
        """Return a color image as RGB uint8 (H, W, 3), not to be changed; see `decode_color`."""
        pixels: UInt8Array = self._once(decode_color)
        return pixels

    def depth(self) -> Float32Array:
        """Return a depth image, float32 (H, W) metres, not to be changed; see `decode_depth`."""
        pixels: Float32Array = self._once(decode_depth)
        return pixels

    def points(self) -> Float32Array:
        """Return a cloud, float32 (N, 3) metres, not to be changed; see `decode_point_cloud`."""
        points: Float32Array = self._once(decode_point_cloud)
        return points

    def _once(self, decode: Callable[[Any], Any]) -> Any:
        with self._lock:
            if decode not in self._decoded:
                start = time.perf_counter()
                try:
                    self._decoded[decode] = decode(self.message)
                except MessageError as error:
                    self._decoded[decode] = error
                self.decode_s += time.perf_counter() - start
        if isinstance(found := self._decoded[decode], MessageError):
            raise found
        return found
