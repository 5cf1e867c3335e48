"""What became of every message: received = processed + dropped(reason), and how long it took."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

__all__ = ["FrameStatistics", "Percentiles", "Snapshot"]

WINDOW = 1000


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median, 95th and 99th percentile of a duration, milliseconds; NaN where nothing was timed."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: deque[float]) -> Percentiles:
        """Summarise durations in seconds."""
        if not seconds:
            return cls(np.nan, np.nan, np.nan)
        p50, p95, p99 = np.percentile(np.array(seconds) * 1e3, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts and durations at one moment.

    `received` counts the messages whose fate is known, so that received == processed +
    sum(dropped) at every moment; `in_flight` are waiting or in work. `latency` runs from arrival to
    the last publication, `compute` is the core's own part of it; both over the last 1000 frames.
    """

    received: int
    processed: int
    dropped: dict[str, int]
    in_flight: int
    latency: Percentiles
    compute: Percentiles


class FrameStatistics:
    """Counts messages and keeps their durations; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived = 0
        self._processed = 0
        self._dropped: Counter[str] = Counter()
        self._latency: deque[float] = deque(maxlen=WINDOW)
        self._compute: deque[float] = deque(maxlen=WINDOW)

    def arrive(self) -> None:
        """Count a message that came in."""
        with self._lock:
            self._arrived += 1

    def drop(self, reason: str) -> None:
        """Count a message that was given up."""
        with self._lock:
            self._dropped[reason] += 1

    def process(self, latency_s: float, compute_s: float) -> None:
        """Count a message whose results were published."""
        with self._lock:
            self._processed += 1
            self._latency.append(latency_s)
            self._compute.append(compute_s)

    def snapshot(self) -> Snapshot:
        """Return the counts and durations so far."""
        with self._lock:
            settled = self._processed + sum(self._dropped.values())
            return Snapshot(
                received=settled,
                processed=self._processed,
                dropped=dict(sorted(self._dropped.items())),
                in_flight=self._arrived - settled,
                latency=Percentiles.of(self._latency),
                compute=Percentiles.of(self._compute),
            )
