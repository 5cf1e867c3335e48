"""Golden results: a lean copy of what a replay left, to hold later replays to."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_perception.errors import BagError
from cnn_perception.messages.decode import decode_detections
from cnn_perception.recording.bag import BagReader, BagTopic, BagWriter
from cnn_perception.replay.expectations.comparers import is_heat
from cnn_perception.replay.expectations.schema import Tolerance
from cnn_perception.replay.run import ReplayRun

__all__ = ["Golden", "is_golden_topic", "read_golden", "record_golden"]

_NOTES = "golden.json"
_BOXES = "vision_msgs/msg/Detection2DArray"
_DERIVED = ("octomap_full", "projected_map")
"""Say in other words what octomap_binary says."""


@dataclass(frozen=True, slots=True)
class Golden:
    """The notes beside golden results.

    bag: the recording's summary; nodes: by node, its summary; left_out: topics that were not kept;
    lowest_scores: by topic of detections, the lowest score there.
    """

    path: Path
    bag: Mapping[str, Any]
    nodes: Mapping[str, Mapping[str, Any]]
    left_out: tuple[str, ...]
    lowest_scores: Mapping[str, float]


def record_golden(run: ReplayRun, path: Path, tolerance: Tolerance | None = None) -> None:
    """Write a replay's results as the golden ones at `path`, a folder; an older bag is replaced.

    Heat maps are kept only where the tolerance compares them. Raises BagError when something else
    than a bag is there, or the folder cannot be written.
    """
    if path.exists() and not (path / "metadata.yaml").is_file():
        raise BagError(f"{path} is not a bag, and is not replaced: name another golden folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            fresh = Path(folder) / path.name
            _write(run, fresh, tolerance or Tolerance())
            if path.exists():
                shutil.rmtree(path)
            fresh.rename(path)
    except OSError as error:
        raise BagError(f"cannot write golden results at {path} ({error}): name another") from error


def read_golden(path: Path) -> Golden:
    """Read the notes of golden results; raises BagError where there are none."""
    file = path / _NOTES
    try:
        notes = json.loads(file.read_text(encoding="utf-8"))
        return Golden(
            path,
            dict(notes["bag"]),
            dict(notes["nodes"]),
            tuple(notes["left_out"]),
            {topic: float(score) for topic, score in notes["lowest_scores"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        cause = error.strerror if isinstance(error, OSError) else f"{error!r}"
        raise BagError(
            f"no golden results at {path} ({_NOTES}: {cause}): make them with --update"
        ) from error


def is_golden_topic(topic: BagTopic, tolerance: Tolerance) -> bool:
    """Say whether a topic of results is kept and compared."""
    if is_heat(topic.name, topic.msgtype):
        return tolerance.heatmap is not None
    return topic.name.rpartition("/")[2] not in _DERIVED


def _write(run: ReplayRun, path: Path, tolerance: Tolerance) -> None:
    lowest: dict[str, float] = {}
    with BagReader(run.results) as results, BagWriter(path) as golden:
        kept = {t.name: t for t in results.topics if is_golden_topic(t, tolerance)}
        for topic in kept.values():
            golden.add_topic(topic.name, topic.msgtype, latched=topic.latched)
        for raw in results.raw_messages(kept):
            if raw.msgtype == _BOXES:
                scores = decode_detections(results.deserialize(raw)).scores
                if len(scores):
                    least = float(scores.min())
                    lowest[raw.topic] = min(least, lowest.get(raw.topic, least))
            golden.write_raw(raw.topic, raw.msgtype, raw.data, raw.stamp_ns)
        left_out = [topic.name for topic in results.topics if topic.name not in kept]
    bag = {key: value for key, value in run.summary["bag"].items() if key != "path"}
    notes = {
        "bag": bag,
        "nodes": run.summary["nodes"],
        "left_out": left_out,
        "lowest_scores": lowest,
        "versions": run.summary.get("versions", {}),
    }
    text = json.dumps(notes, indent=1, sort_keys=True)
    (path / _NOTES).write_text(f"{text}\n", encoding="utf-8")
