"""How often is explained: a rate held by the images' own stamps, not by a clock."""

from __future__ import annotations

__all__ = ["RateGate"]

_JITTER = 0.1
"""Part of a period by which an image may be early."""


class RateGate:
    """Lets images through at a rate of their stamps."""

    def __init__(self) -> None:
        self._due_ns = 0

    def lets(self, stamp_ns: int, rate: float) -> bool:
        """Say whether an image is explained; rate: most per second, 0 for all."""
        if rate <= 0:
            return True
        period_ns = int(1e9 / rate)
        early_ns = self._due_ns - stamp_ns
        if _JITTER * period_ns < early_ns <= period_ns:
            return False
        # Due times advance by whole periods, so that a camera that jitters keeps its rate; they
        # start afresh after a gap, and where time went back.
        on_time = -period_ns < early_ns <= period_ns
        self._due_ns = (self._due_ns if on_time else stamp_ns) + period_ns
        return True
