"""When, in words: a stamp, and seconds from the start of the recording."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.replay.run import ReplayRun

__all__ = ["FrameTime", "at", "seconds", "stamp_text", "window_ns"]


@dataclass(frozen=True, slots=True, order=True)
class FrameTime:
    """When a frame was recorded, by which bags are played, and the stamp of its header."""

    recorded_ns: int
    stamp_ns: int


def seconds(run: ReplayRun, recorded_ns: int) -> float:
    """Return the seconds from the start of the bag to when something was recorded."""
    return (recorded_ns - int(run.summary["bag"]["start_ns"])) / 1e9


def stamp_text(stamp_ns: int) -> str:
    """Return a stamp as ``1700000004.200000000``."""
    whole, rest = divmod(stamp_ns, 1_000_000_000)
    return f"{whole}.{rest:09d}"


def at(run: ReplayRun, time: FrameTime) -> str:
    """Return ``4.200 s (stamp 1700000004.200000000)``."""
    return f"{seconds(run, time.recorded_ns):.3f} s (stamp {stamp_text(time.stamp_ns)})"


def window_ns(run: ReplayRun) -> tuple[int, int | None]:
    """Return the part of the bag that was replayed: start, and the end, None for the bag's."""
    origin = int(run.summary["bag"]["start_ns"])
    start, stop = run.summary["bag"].get("window_s") or (0.0, None)
    return origin + round(start * 1e9), None if stop is None else origin + round(stop * 1e9)
