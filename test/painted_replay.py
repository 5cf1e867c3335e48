"""What a replay of a painted drive left, made by hand: every answer is known, and can be changed.

The networks find a chair that moves, and a table in every other frame; the map is a wall.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import painted_drive
import recorded_robot as robot
from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.recording.bag import BagWriter
from cnn_perception.recording.compose import encode
from cnn_perception.replay.run import FRAME_COLUMNS, LATENCIES, PROCESSED, FrameRecord, ReplayRun
from cnn_perception.types import Detections, Header
from painted_drive import HEIGHT, PERIOD_NS, WIDTH, stamp_of
from plain_streams import encode_binary, encode_file
from pruned_leaves import prune
from recorded_robot import COLOR, DEPTH, INFO, NETWORKS, SECOND, START_NS, Record

FRAMES = 8  # where these are too few, those of `painted_drive`
DELAY_NS = 1_000_000
LABELS = ("chair", "table", "person")
MASK_LABELS = ("background", "floor", "chair")

Found = tuple[str, float, tuple[float, float, float, float]]
"""A label, its score, and corners in pixels."""


def recorded_at(index: int) -> int:
    """Return when the image of that number was recorded: a little after it was taken."""
    return stamp_of(index) + DELAY_NS


@dataclass(frozen=True)
class Frame:
    """What the nodes said about one image. stamp_ns and frame_id: those of the answers' headers."""

    index: int
    found: tuple[Found, ...]
    mask: NDArray[np.uint8]
    heat: NDArray[np.float32]
    stamp_ns: int
    frame_id: str = "camera"

    @property
    def recorded_ns(self) -> int:
        """When its image was recorded."""
        return recorded_at(self.index)

    def answers(self) -> dict[str, dict[str, Any]]:
        """Return the messages of each network, by the end of their topic."""
        stamped = encode.header(Header(self.stamp_ns, self.frame_id))
        heat, best = encode.image(stamped, self.heat), detections(stamped, self.found[:1])
        return {
            "detector": {"detections": detections(stamped, self.found)},
            "segmenter": {"mask": encode.image(stamped, self.mask)},
            "explainer": {"heatmap": heat, "explained": best},
        }


def wall(edge: int = 20) -> NDArray[np.int64]:
    """Occupied cells (N, 3): a wall of `edge` squared cells at x = 30."""
    y, z = np.indices((edge, edge)).reshape(2, -1)
    return np.stack([np.full_like(y, 30), y, z], axis=1)


@dataclass(frozen=True)
class Painting:
    """Everything that a replay left.

    length: how many frames the drive has; records: the lines of frames.csv, by which answers to
    dropped frames are left out; cells: (N, 3) from the map's origin, None where nothing was mapped;
    cameras: names, all see the same.
    """

    length: int
    frames: tuple[Frame, ...]
    records: tuple[FrameRecord, ...]
    cells: NDArray[np.int64] | None
    labels: tuple[str, ...] = LABELS
    cameras: tuple[str, ...] = ("",)
    threshold: float = 0.5
    resolution: float = 0.1
    accuracy: Mapping[str, Any] | None = None
    window: tuple[float, float | None] = (0.0, None)
    extra_topics: Mapping[str, str] = field(default_factory=dict)

    def with_frame(self, index: int, **changes: Any) -> Painting:
        """Return a copy in which one frame is different."""
        frames = list(self.frames)
        frames[index] = replace(frames[index], **changes)
        return replace(self, frames=tuple(frames))

    def without_frame(self, index: int) -> Painting:
        """Return a copy in which the answers to one frame are missing."""
        return replace(self, frames=self.frames[:index] + self.frames[index + 1 :])

    def dropping(self, index: int, *nodes: str, reason: str, detail: str = "") -> Painting:
        """Return a copy in which nodes dropped a frame."""
        recorded_ns = recorded_at(index)
        records = tuple(
            replace(each, outcome=reason, milliseconds=0.0, found=0, detail=detail)
            if each.node in nodes and each.recorded_ns == recorded_ns
            else each
            for each in self.records
        )
        return replace(self, records=records)


def painting(
    length: int = FRAMES,
    *,
    labels: tuple[str, ...] = LABELS,
    cameras: tuple[str, ...] = ("",),
    score: float = 0.9,
    milliseconds: float = 5.0,
    mapped: bool = True,
) -> Painting:
    """A replay in which all went well.

    labels: of what is found, the moving one first; score and milliseconds: of the first frame, from
    which the one falls and the other rises.
    """
    frames = tuple(_frame(index, labels, score) for index in range(length))
    nodes = [_node(camera, name) for camera in cameras for name in NETWORKS]
    cells = wall()
    records: list[FrameRecord] = []
    for each in frames:
        result = each.stamp_ns, each.recorded_ns, PROCESSED, milliseconds * (1 + each.index / 5)
        records += [FrameRecord(node, COLOR, *result, len(each.found)) for node in nodes]
        records.append(FrameRecord("mapper", DEPTH, *result, len(cells)))
    return Painting(length, frames, tuple(records), cells if mapped else None, labels, cameras)


def write_source(path: Path, length: int = FRAMES, *, truth: Sequence[Frame] = ()) -> Path:
    """Write the drive, and what was really there if `truth` is given."""
    delay = DELAY_NS / SECOND
    drive = painted_drive.messages(length)
    records = [replace(each, seconds=each.seconds + delay) for each in drive]
    for each in truth:
        seconds, there = (each.recorded_ns - START_NS) / SECOND, each.answers()
        boxes, mask = there["detector"]["detections"], there["segmenter"]["mask"]
        records.append(Record("/ground_truth/detections", seconds, boxes))
        records.append(Record("/ground_truth/mask", seconds, mask))
    return robot.write(path, records)


def write_run(
    out: Path,
    source: Path,
    what: Painting,
    change: Callable[[dict[str, Any]], object] = lambda summary: None,
) -> ReplayRun:
    """Write the folder of a replay; `change` may alter metrics.json."""
    out.mkdir(parents=True)
    with BagWriter(out / "results") as bag:
        _write_results(bag, what)
    with (out / "frames.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(FRAME_COLUMNS)
        rows.writerows(astuple(record) for record in what.records)
    if what.cells is not None:
        content = encode_file(as_leaves(what.cells), what.resolution, binary=True)
        (out / "map.bt").write_bytes(content)
    summary = _summary(source, what)
    change(summary)
    (out / "metrics.json").write_text(json.dumps(summary), encoding="utf-8")
    return ReplayRun.load(out)


def as_leaves(cells: NDArray[np.int64]) -> Leaves:
    """Return occupied cells (N, 3), counted from the origin, as leaves."""
    keys = (cells + KEY_ORIGIN).astype(np.uint16)
    depths = np.full(len(keys), TREE_DEPTH, np.uint8)
    return prune(sort_leaves(Leaves(keys, depths, np.ones(len(keys), np.float32))))


def detections(stamped: Any, found: Sequence[Found]) -> Any:
    """Return a vision_msgs/Detection2DArray."""
    boxes = np.array([box for _, _, box in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in found], np.float32)
    every = Detections(boxes, scores, np.arange(len(found), dtype=np.int32))
    return encode.detections_2d(stamped, every, [label for label, _, _ in found])


def _frame(index: int, labels: tuple[str, ...], score: float) -> Frame:
    """Return an object that moves, and in every other frame a second one."""
    step = index % 20
    left = 20 + 5 * step
    found: list[Found] = [(labels[0], score - 0.01 * step, (left, 30.0, left + 40.0, 90.0))]
    if index % 2:
        found.append((labels[1], 0.6, (90.0, 50.0, 150.0, 110.0)))
    mask = np.ones((HEIGHT, WIDTH), np.uint8)
    mask[:40] = 0
    mask[30:90, left : left + 40] = 2
    heat = np.zeros((HEIGHT, WIDTH), np.float32)
    heat[40:60, left : left + 20] = 1
    return Frame(index, tuple(found), mask, heat, stamp_of(index))


def _node(camera: str, name: str) -> str:
    return f"{camera}/{name}".strip("/")


def _write_results(bag: BagWriter, what: Painting) -> None:
    def write(topic: str, message: Any, recorded_ns: int, *, latched: bool = False) -> None:
        bag.write(topic, message.__msgtype__, message, recorded_ns, latched=latched)

    first_ns = what.records[0].recorded_ns if what.records else START_NS
    classes = encode.label_info(what.labels, what.threshold)
    mask_classes = encode.label_info(MASK_LABELS, 0.0)
    for camera in what.cameras:
        for name, info in (("detector", classes), ("segmenter", mask_classes)):
            write(f"/{_node(camera, name)}/label_info", info, first_ns, latched=True)
    for topic, kind in what.extra_topics.items():
        bag.add_topic(topic, kind)
    dropped = {(r.node, r.recorded_ns) for r in what.records if r.outcome != PROCESSED}
    for each in what.frames:
        for camera in what.cameras:
            for name, answers in each.answers().items():
                node = _node(camera, name)
                if (node, each.recorded_ns) not in dropped:
                    for topic, message in answers.items():
                        write(f"/{node}/{topic}", message, each.recorded_ns)
    if what.cells is not None and what.records:
        last = what.records[-1]
        stamped = encode.header(Header(last.stamp_ns, "map"))
        payload = encode_binary(as_leaves(what.cells))
        tree = encode.octomap(stamped, payload, what.resolution, binary=True)
        for topic in ("/octomap_binary", "/octomap_full"):
            write(topic, tree, last.recorded_ns, latched=True)


def _summary(source: Path, what: Painting) -> dict[str, Any]:
    """Return the content of metrics.json."""
    nodes = list(dict.fromkeys(record.node for record in what.records))
    start_ns, duration_ns = recorded_at(0), (what.length - 1) * PERIOD_NS
    summary: dict[str, Any] = {
        "bag": {
            "name": source.name,
            "path": str(source.resolve()),
            "start_ns": start_ns,
            "end_ns": start_ns + duration_ns,
            "duration_s": duration_ns / SECOND,
            "messages": 4 * what.length + 1,
            "window_s": list(what.window),
            "left_out": {"/odd": "its type acme_msgs/msg/Odd is not known"},
        },
        "topics": {
            camera: {"color": COLOR, "depth": DEPTH, "camera_info": INFO} for camera in what.cameras
        },
        "nodes": {node: _statistics(node, what) for node in nodes},
        "timing": {
            "seconds": 0.5,
            "frames": len(what.records),
            "frames_per_second": 160.0,
            "times_real_time": 3.8,
            "latency_ms": {node: _latency(node, what) for node in nodes},
        },
        "configuration": {"detector": {"model": "painter", "score_threshold": 0.25}},
        "versions": {"cnn_perception": "0.1.0", "python": "3.12.1", "platform": "Linux"},
    }
    if what.cells is not None:
        size, occupied = what.resolution, len(what.cells)
        counts = {"resolution": size, "occupied": occupied, "free": 1600}
        summary["map"] = {"frame_id": "map", **counts, "sha256": "5ca1ab1e"}
    if what.accuracy is not None:
        summary["accuracy"] = dict(what.accuracy)
    return summary


def _statistics(node: str, what: Painting) -> dict[str, Any]:
    records = [record for record in what.records if record.node == node]
    outcomes = Counter(record.outcome for record in records)
    kept = outcomes.pop(PROCESSED, 0)
    network = {
        "model": "painter",
        "version": "1.0",
        "sha256": "ab" * 32,
        "provider": "CPUExecutionProvider",
    }
    statistics = {
        "topic": records[0].topic,
        **({"engine": "octomap"} if node == "mapper" else network),
        "received": len(records),
        "processed": kept,
        "dropped": dict(sorted(outcomes.items())),
        "found": sum(record.found for record in records),
    }
    if node.endswith("detector"):
        statistics["classes"] = {what.labels[0]: {"count": kept, "frames": kept}}
    return statistics


def _latency(node: str, what: Painting) -> dict[str, float]:
    taken = [r.milliseconds for r in what.records if (r.node, r.outcome) == (node, PROCESSED)]
    return dict(zip(LATENCIES, np.percentile(taken, (50, 95, 99, 100)).tolist(), strict=True))
