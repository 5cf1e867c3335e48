"""When the player goes on: a steady schedule that can be paused, and stepped through meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pace"]

# How soon it is noticed that the player is not to go on at all.
_CHECK_S = 0.1


class Pace:
    """A schedule in nanoseconds since `start`, on the steady clock less the time spent paused.

    One thread waits, any thread may pause and resume. paused: whether to begin so. What changes it
    says whether that was possible.
    """

    def __init__(self, *, paused: bool = False) -> None:
        self._changed = threading.Condition()
        self._paused = paused
        self._steps = 0
        # Where the schedule stands: while it runs, as of _since_ns.
        self._position_ns = 0
        self._since_ns = time.monotonic_ns()

    @property
    def paused(self) -> bool:
        """Whether the schedule stands still."""
        with self._changed:
            return self._paused

    def start(self) -> None:
        """Set the schedule to its beginning."""
        with self._changed:
            self._position_ns, self._since_ns = 0, time.monotonic_ns()

    def pause(self) -> bool:
        """Stand still; harmless when it does."""
        with self._changed:
            if not self._paused:
                self._paused = True
                self._position_ns += time.monotonic_ns() - self._since_ns
                self._steps = 0
        return True

    def resume(self) -> bool:
        """Go on from where it stands; harmless when it runs."""
        with self._changed:
            if self._paused:
                self._paused = False
                self._since_ns = time.monotonic_ns()
                self._changed.notify_all()
        return True

    def toggle(self) -> bool:
        """Pause what runs, resume what stands still."""
        with self._changed:
            return self.resume() if self._paused else self.pause()

    def step(self) -> bool:
        """Let what is due next pass while it stands still; refused when it runs."""
        with self._changed:
            if self._paused:
                self._steps += 1
                self._changed.notify_all()
            return self._paused

    def wait(
        self, due_ns: int, alive: Callable[[], bool] = lambda: True, *, whole: bool = True
    ) -> int | None:
        """Wait until something is due; returns how many nanoseconds too late that was noticed.

        None when `alive` says that there is nothing to wait for any more. What is not `whole`, a
        clock tick before a message, passes with the next `step` without using it up.
        """
        with self._changed:
            while alive():
                if not self._paused:
                    left_ns = due_ns - self._position_ns - time.monotonic_ns() + self._since_ns
                    if left_ns <= 0:
                        return -left_ns
                    self._changed.wait(min(left_ns / 1e9, _CHECK_S))
                elif self._steps:
                    self._steps -= whole
                    self._position_ns = max(self._position_ns, due_ns)
                    return 0
                else:
                    self._changed.wait(_CHECK_S)
        return None
