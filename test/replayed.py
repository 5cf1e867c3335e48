"""A recording and what a replay of it left, painted: every answer is known, and can be changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.files.octomap_codec import encode_binary, encode_file
from cnn_perception.mapping.leaves import KEY_ORIGIN, TREE_DEPTH, Leaves, prune, sort_leaves
from cnn_perception.recording.bag import BagWriter
from cnn_perception.recording.compose import START_NS, encode
from cnn_perception.replay.run import FRAME_COLUMNS, PROCESSED, FrameRecord, ReplayRun
from cnn_perception.types import Detections, Header

PERIOD_NS = 100_000_000
FRAMES = 8
WIDTH, HEIGHT = 160, 120
COLOR, DEPTH = "/camera/color", "/camera/depth"
FRAME = "camera"
LABELS = ("chair", "table", "person")
MASK_LABELS = ("background", "floor", "chair")
THRESHOLD = 0.5
RESOLUTION = 0.1

Found = tuple[str, float, tuple[float, float, float, float]]
"""A label, its score, and corners in pixels."""


@dataclass(frozen=True)
class Frame:
    """What the nodes said about one image. stamp_ns and frame_id: those of the answers' headers."""

    index: int
    found: tuple[Found, ...]
    mask: NDArray[np.uint8]
    heat: NDArray[np.float32]
    stamp_ns: int
    frame_id: str = FRAME

    @property
    def recorded_ns(self) -> int:
        """When its image was recorded: a little after it was taken."""
        return START_NS + self.index * PERIOD_NS + 1_000_000


@dataclass(frozen=True)
class Painting:
    """Everything that a replay left."""

    frames: tuple[Frame, ...]
    cells: NDArray[np.int64]
    records: tuple[FrameRecord, ...]
    labels: tuple[str, ...] = LABELS
    threshold: float = THRESHOLD
    resolution: float = RESOLUTION
    accuracy: Mapping[str, Any] | None = None
    window: tuple[float, float | None] = (0.0, None)
    prefix: str = ""
    extra_topics: Mapping[str, str] = field(default_factory=dict)

    def with_frame(self, index: int, **changes: Any) -> Painting:
        """Return a copy in which one frame is different."""
        frames = list(self.frames)
        frames[index] = replace(frames[index], **changes)
        return replace(self, frames=tuple(frames))

    def without_frame(self, index: int) -> Painting:
        """Return a copy in which the answers to one frame are missing."""
        return replace(self, frames=self.frames[:index] + self.frames[index + 1 :])


def frame(index: int) -> Frame:
    """A chair that moves, and a table in every other frame."""
    left = 20.0 + 5 * (index % 20)
    found: list[Found] = [("chair", 0.9 - 0.01 * (index % 20), (left, 30.0, left + 40, 90.0))]
    if index % 2:
        found.append(("table", 0.6, (90.0, 50.0, 150.0, 110.0)))
    mask = np.ones((HEIGHT, WIDTH), np.uint8)
    mask[:40] = 0
    mask[30:90, int(left) : int(left) + 40] = 2
    heat = np.zeros((HEIGHT, WIDTH), np.float32)
    heat[40:60, int(left) : int(left) + 20] = 1
    return Frame(index, tuple(found), mask, heat, START_NS + index * PERIOD_NS)


def wall(edge: int = 20) -> NDArray[np.int64]:
    """Occupied cells (N, 3): a wall of `edge` squared cells at x = 30."""
    y, z = np.indices((edge, edge)).reshape(2, -1)
    return np.stack([np.full_like(y, 30), y, z], axis=1)


def painting(frames: int = FRAMES) -> Painting:
    """A replay in which all went well."""
    records = []
    for index in range(frames):
        taken = START_NS + index * PERIOD_NS
        for node in ("detector", "segmenter", "explainer", "mapper"):
            topic = DEPTH if node == "mapper" else COLOR
            milliseconds = 5.0 + index
            records.append(
                FrameRecord(node, topic, taken, taken + 1_000_000, PROCESSED, milliseconds, 1)
            )
    return Painting(tuple(frame(index) for index in range(frames)), wall(), tuple(records))


def write_source(path: Path, frames: int = FRAMES, *, truth: Sequence[Frame] = ()) -> Path:
    """Write the recording: colour and depth, and what was really there if `truth` is given."""
    with BagWriter(path) as bag:
        for index in range(frames):
            header = Header(START_NS + index * PERIOD_NS, FRAME)
            recorded_ns = header.stamp_ns + 1_000_000
            picture = np.full((HEIGHT, WIDTH, 3), (90, 120, (150 + 5 * index) % 256), np.uint8)
            depth = np.full((HEIGHT, WIDTH), 2000, np.uint16)
            stamped = encode.header(header)
            color, far = encode.image(stamped, picture), encode.depth_image(stamped, depth)
            bag.write(COLOR, "sensor_msgs/msg/Image", color, recorded_ns)
            bag.write(DEPTH, "sensor_msgs/msg/Image", far, recorded_ns)
        for each in truth:
            header = Header(each.stamp_ns, each.frame_id)
            boxes = detections(header, each.found)
            kind = "vision_msgs/msg/Detection2DArray"
            bag.write("/ground_truth/detections", kind, boxes, each.recorded_ns)
            mask = image(header, each.mask)
            bag.write("/ground_truth/mask", "sensor_msgs/msg/Image", mask, each.recorded_ns)
    return path


def write_run(out: Path, source: Path, what: Painting) -> ReplayRun:
    """Write the folder of a replay."""
    out.mkdir(parents=True)
    with BagWriter(out / "results") as bag:
        _write_results(bag, what)
    with (out / "frames.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(FRAME_COLUMNS)
        rows.writerows(astuple(record) for record in what.records)
    leaves = as_leaves(what.cells)
    (out / "map.bt").write_bytes(encode_file(leaves, what.resolution, binary=True))
    summary = summary_of(source, what)
    (out / "metrics.json").write_text(json.dumps(summary), encoding="utf-8")
    return ReplayRun.load(out)


def summary_of(source: Path, what: Painting) -> dict[str, Any]:
    """Return the content of metrics.json."""
    nodes: dict[str, Any] = {}
    for record in what.records:
        node = nodes.setdefault(
            record.node, {"topic": record.topic, "received": 0, "processed": 0, "dropped": {}}
        )
        node["received"] += 1
        if record.outcome == PROCESSED:
            node["processed"] += 1
        else:
            node["dropped"][record.outcome] = node["dropped"].get(record.outcome, 0) + 1
    summary = {
        "bag": {
            "name": source.name,
            "path": str(source.resolve()),
            "start_ns": START_NS + 1_000_000,
            "window_s": list(what.window),
            "left_out": {},
        },
        "topics": {"": {"color": COLOR, "depth": DEPTH, "camera_info": None}},
        "nodes": nodes,
        "map": {"frame_id": "map", "resolution": what.resolution, "occupied": len(what.cells)},
    }
    return summary if what.accuracy is None else {**summary, "accuracy": dict(what.accuracy)}


def as_leaves(cells: NDArray[np.int64]) -> Leaves:
    """Return occupied cells (N, 3), counted from the origin, as leaves."""
    keys = (cells + KEY_ORIGIN).astype(np.uint16)
    depths = np.full(len(keys), TREE_DEPTH, np.uint8)
    return prune(sort_leaves(Leaves(keys, depths, np.ones(len(keys), np.float32))))


def image(header: Header, pixels: NDArray[Any]) -> Any:
    """Return a sensor_msgs/Image of one channel."""
    return encode.image(encode.header(header), pixels)


def detections(header: Header, found: Sequence[Found]) -> Any:
    """Return a vision_msgs/Detection2DArray."""
    boxes = np.array([box for _, _, box in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in found], np.float32)
    every = Detections(boxes, scores, np.arange(len(found), dtype=np.int32))
    return encode.detections_2d(encode.header(header), every, [label for label, _, _ in found])


def label_info(labels: Sequence[str], threshold: float) -> Any:
    """Return a vision_msgs/LabelInfo."""
    return encode.label_info(labels, threshold)


def octomap(header: Header, cells: NDArray[np.int64], resolution: float) -> Any:
    """Return an octomap_msgs/Octomap of occupied cells."""
    payload = encode_binary(as_leaves(cells))
    return encode.octomap(encode.header(header), payload, resolution, binary=True)


def _write_results(bag: BagWriter, what: Painting) -> None:
    info, boxes = "vision_msgs/msg/LabelInfo", "vision_msgs/msg/Detection2DArray"
    picture, prefix = "sensor_msgs/msg/Image", what.prefix
    first_ns = what.records[0].recorded_ns if what.records else START_NS
    for topic, labels, threshold in (
        (f"{prefix}/detector/label_info", what.labels, what.threshold),
        (f"{prefix}/segmenter/label_info", MASK_LABELS, 0.0),
    ):
        bag.write(topic, info, label_info(labels, threshold), first_ns, latched=True)
    for topic, kind in what.extra_topics.items():
        bag.add_topic(topic, kind)
    for each in what.frames:
        header, at = Header(each.stamp_ns, each.frame_id), each.recorded_ns
        bag.write(f"{prefix}/detector/detections", boxes, detections(header, each.found), at)
        bag.write(f"{prefix}/segmenter/mask", picture, image(header, each.mask), at)
        bag.write(f"{prefix}/explainer/heatmap", picture, image(header, each.heat), at)
        best = detections(header, each.found[:1])
        bag.write(f"{prefix}/explainer/explained", boxes, best, at)
    last = what.records[-1] if what.records else FrameRecord("", "", START_NS, START_NS, "")
    tree = octomap(Header(last.stamp_ns, "map"), what.cells, what.resolution)
    for topic in ("/octomap_binary", "/octomap_full"):
        bag.write(topic, "octomap_msgs/msg/Octomap", tree, last.recorded_ns, latched=True)
