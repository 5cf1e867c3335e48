"""The last few messages of a second topic, to be found by stamp and waited for."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Any, Generic, TypeVar

from cnn_perception.errors import MessageError
from cnn_perception.messages.stamps import stamp_to_ns

__all__ = ["Recent"]

M = TypeVar("M")


class Recent(Generic[M]):
    """A short memory of stamped messages: filled by the executor, asked by the worker."""

    def __init__(self, size: int = 10) -> None:
        self._messages: deque[tuple[int, M]] = deque(maxlen=size)
        self._changed = threading.Condition()
        self._cancelled = False

    def add(self, message: Any) -> None:
        """Remember a message."""
        with self._changed:
            self._messages.append((stamp_to_ns(message.header.stamp), message))
            self._changed.notify_all()

    def near(self, header: Any, timeout_s: float, slop_s: float = math.inf) -> M:
        """Return the message nearest to a header's stamp, however far unless a slop is given.

        Waits for it; raises MessageError(``no_match``) when none within the slop comes in time.
        """
        stamp_ns = stamp_to_ns(header.stamp)
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._messages:
                    distance, found = self._nearest(stamp_ns)
                    if distance <= slop_s * 1e9:
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or self._cancelled:
                    raise MessageError("no_match", self._reason(stamp_ns, slop_s, timeout_s))
                self._changed.wait(left)

    def rewind(self, stamp_ns: int) -> None:
        """Forget what is later than a stamp to which time went back."""
        with self._changed:
            kept = [pair for pair in self._messages if pair[0] <= stamp_ns]
            self._messages.clear()
            self._messages.extend(kept)

    def reset(self) -> None:
        """Forget everything and be ready to wait again."""
        with self._changed:
            self._messages.clear()
            self._cancelled = False

    def cancel(self) -> None:
        """Wake whoever waits, to no avail."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _nearest(self, stamp_ns: int) -> tuple[int, M]:
        stamp, message = min(self._messages, key=lambda pair: abs(pair[0] - stamp_ns))
        return abs(stamp - stamp_ns), message

    def _reason(self, stamp_ns: int, slop_s: float, timeout_s: float) -> str:
        if not self._messages:
            return (
                f"nothing came on the second topic within {timeout_s:g} s: check its name and QoS"
            )
        gap = self._nearest(stamp_ns)[0] * 1e-9
        return (
            f"the nearest message of the second topic is {gap:.3f} s away: synchronise the "
            f"camera's streams or raise the slop of {slop_s:g} s"
        )
