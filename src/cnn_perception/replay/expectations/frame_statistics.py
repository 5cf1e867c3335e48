"""What became of the messages of a replay, by node: frames.csv, read once."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cnn_perception.replay.run import PROCESSED, FrameRecord, ReplayRun

__all__ = ["NodeStatistics", "ReplayStatistics", "read_frame_statistics"]


@dataclass(slots=True)
class NodeStatistics:
    """The messages of one node: topics, counts by topic and by reason, first drops by reason.

    publishes: of an installed component, its topics, each ``frames`` where it has a message for
    every frame, ``sometimes`` or ``latched``; None of the package's own nodes.
    Of the processed ones it keeps 24 bytes each: recorded_ns, stamps_ns and milliseconds, in the
    order in which they were handled.
    """

    topics: set[str] = field(default_factory=set)
    publishes: Mapping[str, str] | None = None
    received: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    first_drops: dict[str, FrameRecord] = field(default_factory=dict)
    recorded_ns: array[int] = field(default_factory=lambda: array("q"))
    stamps_ns: array[int] = field(default_factory=lambda: array("q"))
    milliseconds: array[float] = field(default_factory=lambda: array("d"))

    @property
    def processed(self) -> int:
        """How many were answered."""
        return len(self.stamps_ns)

    def count(self, figure: str) -> int:
        """Return how many were ``received``, ``processed`` or ``dropped``."""
        if figure == "processed":
            return self.processed
        return sum((self.received if figure == "received" else self.dropped).values())

    def rate(self) -> float:
        """Return processed messages per second by their stamps; NaN for fewer than two.

        Where stamps go back, as in a bag that was looped, time goes on from there.
        """
        steps = np.diff(np.asarray(self.stamps_ns, np.int64))
        forward = steps[steps > 0]
        return len(forward) / (float(forward.sum()) / 1e9) if len(forward) else float("nan")

    def latency(self, figure: str) -> float:
        """Return a figure of LATENCIES, milliseconds; NaN where nothing was processed."""
        if not self.milliseconds:
            return float("nan")
        share = 100.0 if figure == "max" else float(figure[1:])
        return float(np.percentile(np.asarray(self.milliseconds), share))


ReplayStatistics = Mapping[str, NodeStatistics]
"""By node."""


def read_frame_statistics(run: ReplayRun) -> ReplayStatistics:
    """Return the statistics of every node, in the order of the summary and then of frames.csv.

    Raises BagError for a frames.csv that cannot be read.
    """
    statistics: dict[str, NodeStatistics] = {}
    for node, known in run.summary["nodes"].items():
        topics = {known["topic"]} if known.get("topic") else set()
        statistics[node] = NodeStatistics(topics, known.get("publishes"))
    for record in run.frames():
        frames = statistics.setdefault(record.node, NodeStatistics())
        frames.topics.add(record.topic)
        frames.received[record.topic] += 1
        if record.outcome == PROCESSED:
            frames.recorded_ns.append(record.recorded_ns)
            frames.stamps_ns.append(record.stamp_ns)
            frames.milliseconds.append(record.milliseconds)
        else:
            frames.dropped[record.outcome] += 1
            frames.first_drops.setdefault(record.outcome, record)
    return statistics
