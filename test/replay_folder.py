"""A painted drive and the folder that a replay of it would leave, with answers made by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.messages.stamps import ns_to_stamp
from cnn_perception.recording.bag import BagWriter, typestore
from cnn_perception.replay.run import FRAME_COLUMNS, PROCESSED, FrameRecord, ReplayRun
from cnn_perception.types import RigidTransform
from painted_drive import FRAMES, PERIOD_NS, START_NS

WIDTH, HEIGHT = 160, 120
COLOR, DEPTH = "/camera/color", "/camera/depth"
MASK_LABELS = ("background", "wall", "red")
Box = tuple[float, float, float, float]


def stamp_of(index: int) -> int:
    """The stamp of the drive's image of that number."""
    return START_NS + index * PERIOD_NS


@dataclass(frozen=True)
class Answers:
    """How the nodes answered. drops: outcome and detail by (node, image).

    labels: the detector's first two classes, of which each image shows the first, odd ones both.
    """

    labels: tuple[str, str] = ("red", "green")
    cameras: tuple[str, ...] = ("",)
    drops: dict[tuple[str, int], tuple[str, str]] | None = None
    score: float = 0.9
    milliseconds: float = 5.0
    mapped: bool = False


def write_replay(
    out: Path,
    drive: Path,
    answers: Answers,
    change: Callable[[dict[str, Any]], object] = lambda summary: None,
) -> ReplayRun:
    """Write the folder of a replay of `painted_drive`; `change` may alter metrics.json."""
    out.mkdir(parents=True)
    records: list[FrameRecord] = []
    with BagWriter(out / "results") as bag:
        for camera in answers.cameras:
            prefix = f"/{camera}" if camera else ""
            _write_labels(bag, f"{prefix}/detector/label_info", answers.labels)
            _write_labels(bag, f"{prefix}/segmenter/label_info", MASK_LABELS)
        for index in range(FRAMES):
            for camera in answers.cameras:
                records += _write_frame(bag, camera, index, answers)
            records.append(_record("mapper", DEPTH, index, 40, answers))
    with (out / "frames.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(FRAME_COLUMNS)
        lines.writerows(astuple(record) for record in records)
    summary = _summary(drive, records, answers)
    if answers.mapped:
        summary["map"] = _write_map(out / "map.bt")
    change(summary)
    (out / "metrics.json").write_text(json.dumps(summary), encoding="utf-8")
    return ReplayRun.load(out)


def _write_frame(bag: BagWriter, camera: str, index: int, answers: Answers) -> list[FrameRecord]:
    prefix = f"{camera}/" if camera else ""
    stamped, at = header(stamp_of(index)), stamp_of(index)
    first, second = answers.labels
    boxes: list[tuple[str, float, Box]] = [(first, answers.score, (10.0, 20.0, 60.0, 80.0))]
    if index % 2:
        boxes.append((second, 0.5, (70.0, 20.0, 110.0, 80.0)))
    mask = np.ones((HEIGHT, WIDTH), np.uint8)
    mask[20:80, 10:60] = 2
    heat = np.zeros((HEIGHT, WIDTH), np.float32)
    heat[30:60, 20:50] = 1
    written = {
        "detector": [("detections", detections(stamped, boxes))],
        "segmenter": [("mask", image(stamped, mask, "mono8"))],
        "explainer": [
            ("heatmap", image(stamped, heat, "32FC1")),
            ("explained", detections(stamped, boxes[:1])),
        ],
    }
    records = []
    for name, outputs in written.items():
        node = f"{prefix}{name}"
        record = _record(node, COLOR, index, len(boxes), answers)
        records.append(record)
        if record.outcome == PROCESSED:
            for topic, msg in outputs:
                bag.write(f"/{node}/{topic}", msg.__msgtype__, msg, at)
    return records


def _record(node: str, topic: str, index: int, found: int, answers: Answers) -> FrameRecord:
    stamp = stamp_of(index)
    drop = (answers.drops or {}).get((node, index))
    if drop is not None:
        return FrameRecord(node, topic, stamp, stamp, drop[0], 0.0, 0, drop[1])
    return FrameRecord(node, topic, stamp, stamp, PROCESSED, answers.milliseconds + index, found)


def _write_map(file: Path) -> dict[str, Any]:
    mapper = Mapper(MapperConfig(resolution=0.25, engine="octomap"))
    wall = np.array([[2.0, y / 4, z / 4] for y in range(-4, 5) for z in range(2)], np.float32)
    mapper.integrate_cloud(wall, RigidTransform(np.eye(3), np.zeros(3)))
    mapper.save(file)
    statistics = mapper.statistics()
    return {
        "frame_id": "map",
        "resolution": 0.25,
        "occupied": statistics.occupied,
        "free": statistics.free,
        "sha256": "5ca1ab1e",
    }


def _summary(drive: Path, records: Sequence[FrameRecord], answers: Answers) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    for node in dict.fromkeys(record.node for record in records):
        mine = [record for record in records if record.node == node]
        kept = [record for record in mine if record.outcome == PROCESSED]
        lost = [record.outcome for record in mine if record.outcome != PROCESSED]
        model = {"engine": "octomap"} if node == "mapper" else _model()
        nodes[node] = {
            "topic": mine[0].topic,
            **model,
            "received": len(mine),
            "processed": len(kept),
            "dropped": {reason: lost.count(reason) for reason in sorted(set(lost))},
            "found": sum(record.found for record in kept),
        }
        if node.endswith("detector"):
            label = answers.labels[0]
            nodes[node]["classes"] = {label: {"count": len(kept), "frames": len(kept)}}
    latency = dict.fromkeys(("p50", "p95", "p99", "max"), answers.milliseconds)
    return {
        "bag": {
            "name": drive.name,
            "path": str(drive),
            "start_ns": stamp_of(0),
            "end_ns": stamp_of(FRAMES - 1),
            "duration_s": (FRAMES - 1) * PERIOD_NS / 1e9,
            "messages": 4 * FRAMES + 1,
            "window_s": [0.0, None],
            "left_out": {"/odd": "its type acme_msgs/msg/Odd is not known"},
        },
        "topics": {
            camera: {"color": COLOR, "depth": DEPTH, "camera_info": "/camera/camera_info"}
            for camera in answers.cameras
        },
        "nodes": nodes,
        "timing": {
            "seconds": 0.5,
            "frames": len(records),
            "frames_per_second": 160.0,
            "times_real_time": 3.8,
            "latency_ms": dict.fromkeys(nodes, latency),
        },
        "configuration": {"detector": {"model": "painter", "score_threshold": 0.25}},
        "versions": {"cnn_perception": "0.1.0", "python": "3.12.1", "platform": "Linux"},
    }


def _model() -> dict[str, Any]:
    return {
        "model": "painter",
        "version": "1.0",
        "sha256": "ab" * 32,
        "provider": "CPUExecutionProvider",
    }


def message(name: str, /, **fields: Any) -> Any:
    """A message of rosbags."""
    return typestore().types[name](**fields)


def header(stamp_ns: int) -> Any:
    """A std_msgs/Header in the camera's frame."""
    seconds, nanoseconds = ns_to_stamp(stamp_ns)
    stamp = message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id="camera")


def image(stamped: Any, pixels: NDArray[Any], encoding: str) -> Any:
    return message(
        "sensor_msgs/msg/Image",
        header=stamped,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=pixels.view(np.uint8).reshape(-1),
    )


def detections(stamped: Any, found: Sequence[tuple[str, float, Box]]) -> Any:
    origin = message("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0)
    turn = message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    pose = message("geometry_msgs/msg/Pose", position=origin, orientation=turn)
    unknown = message("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
    boxes = []
    for label, score, (x0, y0, x1, y1) in found:
        hypothesis = message("vision_msgs/msg/ObjectHypothesis", class_id=label, score=score)
        result = message(
            "vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=unknown
        )
        middle = message("vision_msgs/msg/Point2D", x=(x0 + x1) / 2, y=(y0 + y1) / 2)
        center = message("vision_msgs/msg/Pose2D", position=middle, theta=0.0)
        bbox = message(
            "vision_msgs/msg/BoundingBox2D", center=center, size_x=x1 - x0, size_y=y1 - y0
        )
        boxes.append(
            message(
                "vision_msgs/msg/Detection2D", header=stamped, results=[result], bbox=bbox, id=""
            )
        )
    return message("vision_msgs/msg/Detection2DArray", header=stamped, detections=boxes)


def _write_labels(bag: BagWriter, topic: str, labels: Sequence[str]) -> None:
    classes = [
        message("vision_msgs/msg/VisionClass", class_id=index, class_name=name)
        for index, name in enumerate(labels)
    ]
    info = message("vision_msgs/msg/LabelInfo", header=header(0), class_map=classes, threshold=0.25)
    bag.write(topic, info.__msgtype__, info, stamp_of(0), latched=True)
