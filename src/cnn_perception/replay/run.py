"""What a replay left in its folder: the results bag, the frames, the summary, the map."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cnn_perception.errors import BagError

__all__ = ["FRAME_COLUMNS", "LATENCIES", "PROCESSED", "FrameRecord", "ReplayRun"]

PROCESSED = "processed"
"""The outcome of a frame that was answered; any other is the reason why it was dropped."""


LATENCIES = ("p50", "p95", "p99", "max")
"""Figures of the latency of a node, milliseconds."""


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What became of one message in one node: a line of frames.csv.

    node: ``detector``, or ``front/detector`` where cameras have names; topic: where the message
    came from; stamp_ns: of its header; recorded_ns: when it was recorded; outcome: PROCESSED or a
    drop reason; milliseconds: from decoding to the last output, 0 if it was dropped; found: how
    many objects, answers or cells; detail: the error's text.
    """

    node: str
    topic: str
    stamp_ns: int
    recorded_ns: int
    outcome: str
    milliseconds: float = 0.0
    found: int = 0
    detail: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> FrameRecord:
        """Read a line of frames.csv; raises ValueError and KeyError for one that is none."""
        return cls(
            row["node"],
            row["topic"],
            int(row["stamp_ns"]),
            int(row["recorded_ns"]),
            row["outcome"],
            float(row["milliseconds"]),
            int(row["found"]),
            row["detail"],
        )


FRAME_COLUMNS = tuple(field.name for field in fields(FrameRecord))
"""The first line of frames.csv."""


@dataclass(frozen=True, slots=True)
class ReplayRun:
    """The folder of a finished replay. summary: the content of metrics.json."""

    out: Path
    summary: Mapping[str, Any]

    @classmethod
    def load(cls, out: Path) -> ReplayRun:
        """Open the folder of a replay; raises BagError when it holds none."""
        file = out / "metrics.json"
        try:
            return cls(out, json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise BagError(
                f"{out} holds no finished replay ({error}): run 'cnn-perception replay' into it"
            ) from error

    def save(self) -> None:
        """Write metrics.json; whoever finds it knows that the replay is complete."""
        text = json.dumps(self.summary, indent=2, ensure_ascii=False) + "\n"
        (self.out / "metrics.json").write_text(text, encoding="utf-8")

    @property
    def bag(self) -> Path:
        """The bag that was replayed."""
        return Path(self.summary["bag"]["path"])

    @property
    def results(self) -> Path:
        """The bag of everything that the nodes would have published."""
        return self.out / "results"

    @property
    def map_file(self) -> Path | None:
        """The map, None where nothing was mapped."""
        file = self.out / "map.bt"
        return file if file.is_file() else None

    def frames(self) -> Iterator[FrameRecord]:
        """Yield what became of every message, in the order in which it was handled."""
        file = self.out / "frames.csv"
        try:
            with file.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    yield FrameRecord.from_row(row)
        except (OSError, KeyError, ValueError) as error:
            raise BagError(f"{file} cannot be read ({error}): replay the bag again") from error
