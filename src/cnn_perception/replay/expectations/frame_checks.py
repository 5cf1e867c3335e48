"""Whether every message was processed, how often, and how fast; figures of map and accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import methodcaller
from typing import Any

from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.frame_statistics import NodeStatistics, ReplayStatistics
from cnn_perception.replay.expectations.schema import Bound, Expectations, shown
from cnn_perception.replay.moments import FrameTime, at, window_ns
from cnn_perception.replay.run import ReplayRun
from cnn_perception.settings import nearest

__all__ = ["check_figures", "check_frames", "missing_node"]


def check_frames(
    run: ReplayRun, statistics: ReplayStatistics, expectations: Expectations
) -> Iterator[Check]:
    """Yield the checks of ``frames``, ``drops``, ``rate`` and ``latency``, defaults included."""
    total = sum(frames.processed for frames in statistics.values())
    text = f"{total} frames were processed" if total else "no node processed a single frame"
    yield Check("frames", total > 0, text)
    yield from _received(run, statistics)
    for node, frames in statistics.items():
        limits = expectations.frames.get(node, {})
        if not {"processed", "dropped"} & set(limits):
            yield _no_drops(run, node, frames, expectations.drops)
    yield from _reasons(statistics, expectations.drops)
    for name, node, what, figure, bound in _figures(expectations):
        if node in statistics:
            yield _bounded(name, what, figure(statistics[node]), bound)
        else:
            yield missing_node(name, node, statistics)


_Figure = tuple[str, str, str, Callable[[NodeStatistics], float], Bound]
"""A check's name, the node, what the figure is, the figure, and its bound."""


def _figures(expectations: Expectations) -> Iterator[_Figure]:
    for node, limits in expectations.frames.items():
        for key, bound in limits.items():
            count = methodcaller("count", key)
            yield f"frames.{node}.{key}", node, f"{key} messages", count, bound
    for node, bound in expectations.rate.items():
        yield f"rate.{node}", node, "frames per second by their stamps", NodeStatistics.rate, bound
    for node, limits in expectations.latency.items():
        for key, bound in limits.items():
            what, latency = f"{key} latency in milliseconds", methodcaller("latency", key)
            yield f"latency.{node}.{key}", node, what, latency, bound


def _bounded(name: str, what: str, value: float, bound: Bound) -> Check:
    """Return the check of a figure; NaN, which stands for none, fails."""
    if value != value:
        return Check(name, False, f"there is no figure of {what}, expected {bound}")
    fits = bound.allows(value)
    return Check(name, fits, f"{what}: {shown(value)}, expected {bound}")


def missing_node(name: str, node: str, known: Iterable[str]) -> Check:
    """Return the failed check of an expectation on a node that did not run."""
    hint = nearest(node, known, "there were")
    return Check(name, False, f"no node {node} took part in this replay: {hint}")


def _received(run: ReplayRun, statistics: ReplayStatistics) -> Iterator[Check]:
    """Check that each message of the recording reached the nodes that listen to its topic."""
    counts: Counter[str] = Counter()
    start_ns, stop_ns = window_ns(run)
    topics = {topic for frames in statistics.values() for topic in frames.topics}
    with BagReader(run.results) as results:  # what one node said to another
        counts.update({each.name: each.count for each in results.topics if each.name in topics})
    topics -= set(counts)
    with BagReader(run.bag) as bag:
        there = {topic.name: topic.count for topic in bag.topics if topic.name in topics}
        if start_ns <= bag.start_ns and stop_ns is None:
            counts.update(there)
        else:
            for raw in bag.raw_messages(there, start_ns=start_ns, stop_ns=stop_ns):
                counts[raw.topic] += 1
    for node, frames in statistics.items():
        wrong = [
            f"{frames.received[topic]} of {counts[topic]} messages of {topic}"
            for topic in sorted(frames.topics)
            if frames.received[topic] != counts[topic]
        ]
        sums = sum(frames.received.values())
        text = f"received {', '.join(wrong)}" if wrong else f"received all {sums} messages"
        yield Check(f"received.{node}", not wrong, text)


def _no_drops(
    run: ReplayRun, node: str, frames: NodeStatistics, allowed: Mapping[str, Bound]
) -> Check:
    """Check that nothing was dropped but for reasons that have a limit of their own."""
    lost = {reason: n for reason, n in frames.dropped.items() if reason not in allowed}
    name = f"processed.{node}"
    received = frames.count("received")
    if not lost:
        return Check(name, True, f"processed {frames.processed} of {received} messages")
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(lost.items()))
    first = next(drop for reason, drop in frames.first_drops.items() if reason in lost)
    time = FrameTime(first.recorded_ns, first.stamp_ns)
    text = (
        f"dropped {sum(lost.values())} of {received} messages ({reasons}), the first drop at "
        f"{at(run, time)}: {first.detail or first.outcome}"
    )
    return Check(name, False, text, first.stamp_ns)


def _reasons(statistics: ReplayStatistics, drops: Mapping[str, Bound]) -> Iterator[Check]:
    total: Counter[str] = Counter()
    for frames in statistics.values():
        total.update(frames.dropped)
    for reason, bound in drops.items():
        yield _bounded(f"drops.{reason}", f"messages dropped as {reason}", total[reason], bound)


def check_figures(run: ReplayRun, expectations: Expectations) -> Iterator[Check]:
    """Yield the checks of ``map`` and ``accuracy``."""
    yield from _section(
        run, "map", expectations.map, "nothing was mapped: the mapper needs depth and /tf"
    )
    yield from _section(
        run,
        "accuracy",
        expectations.accuracy,
        "nothing was measured: record what was really there, or name it under truth in the plan",
    )


def _section(
    run: ReplayRun, section: str, bounds: Mapping[str, Bound], absent: str
) -> Iterator[Check]:
    figures: Mapping[str, Any] = run.summary.get(section) or {}
    for key, bound in bounds.items():
        name = f"{section}.{key}"
        if not figures:
            yield Check(name, False, absent)
            continue
        value = figures.get(key)
        yield _bounded(name, key, float("nan") if value is None else float(value), bound)
