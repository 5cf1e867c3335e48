"""What a replay writes while it runs: the results bag, frames.csv, the statistics of frames."""

from __future__ import annotations

import csv
import hashlib
from array import array
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagWriter
from cnn_perception.replay.run import FRAME_COLUMNS, LATENCIES, PROCESSED, FrameRecord

__all__ = ["ResultsWriter"]


class ResultsWriter:
    """Takes messages and frames in the order in which they were made. Use it as a context manager.

    Only numbers of a frame are kept in memory. Raises BagError where it cannot write.
    """

    def __init__(self, out: Path) -> None:
        try:
            self._file = (out / "frames.csv").open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise BagError(f"cannot write into {out} ({error}): choose another --out") from error
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(FRAME_COLUMNS)
        try:
            self._bag = BagWriter(out / "results", fast=True, overwrite=True)
        except BagError:
            self._file.close()
            raise
        self._outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self._found: Counter[str] = Counter()
        self._milliseconds: dict[str, array[float]] = defaultdict(lambda: array("f"))
        self._digests: dict[str, Any] = {}

    def __enter__(self) -> ResultsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._file.close()
        self._bag.__exit__(kind, *rest)

    def write(
        self, topic: str, msgtype: str, message: Any, recorded_ns: int, *, latched: bool = False
    ) -> None:
        """Write a message that a node publishes."""
        data = self._bag.write(topic, msgtype, message, recorded_ns, latched=latched)
        if topic not in self._digests:
            self._digests[topic] = hashlib.sha256()
        self._digests[topic].update(data)

    def note(self, record: FrameRecord) -> None:
        """Write what became of a message."""
        self._rows.writerow([getattr(record, column) for column in FRAME_COLUMNS])
        self._outcomes[record.node][record.outcome] += 1
        if record.outcome == PROCESSED:
            self._found[record.node] += record.found
            self._milliseconds[record.node].append(record.milliseconds)

    @property
    def frames(self) -> int:
        """Number of messages that were answered or dropped, over all nodes."""
        return sum(counts.total() for counts in self._outcomes.values())

    def frame_statistics(self, node: str) -> dict[str, Any]:
        """Return what became of the messages of a node: received = processed + dropped."""
        outcomes = self._outcomes[node]
        dropped = {name: n for name, n in sorted(outcomes.items()) if name != PROCESSED}
        return {
            "received": outcomes.total(),
            "processed": outcomes[PROCESSED],
            "dropped": dropped,
            "found": self._found[node],
        }

    def latency_ms(self, node: str) -> dict[str, float]:
        """Return percentiles of the milliseconds that a node took for a message; 0 for none."""
        values = np.frombuffer(self._milliseconds[node], np.float32)
        if not len(values):
            return dict.fromkeys(LATENCIES, 0.0)
        points = np.percentile(values, (50, 95, 99, 100))
        return {name: round(float(x), 3) for name, x in zip(LATENCIES, points, strict=True)}

    def digests(self) -> dict[str, str]:
        """Return the sha256 of each topic's serialised messages: equal ones are equal results."""
        return {topic: digest.hexdigest() for topic, digest in sorted(self._digests.items())}
