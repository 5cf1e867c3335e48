"""Small recordings of a robot with a camera, made message by message; and their replays, checked.

The robot drives along x, 0.1 m in a second, towards a wall at a distance of two metres. Its
pictures show what `models.paint` painted, so the bundles of `models` give known answers.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

import models
from cnn_perception.image.codec import encode_compressed_depth, encode_png
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import (
    BagMessage,
    BagReader,
    BagTopic,
    BagWriter,
    RawBagMessage,
    typestore,
)
from cnn_perception.recording.compose import encode
from cnn_perception.replay.plan import NODES, ReplayPlan
from cnn_perception.replay.replayer import replay
from cnn_perception.replay.run import PROCESSED, FrameRecord, ReplayRun
from cnn_perception.types import CameraIntrinsics, Header, RigidTransform, StampedTransform

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
COLOR, DEPTH, INFO = "/camera/color", "/camera/depth", "/camera/camera_info"
SIZE = (64, 48)
NETWORKS = ("detector", "segmenter", "explainer")
ALL = (*NETWORKS, "mapper")
DONE = PROCESSED
TRANSIENT = frozenset({"/tf_static"})
_FORWARD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_PER_IMAGE = {
    "detector": ("detections", "detections_3d"),
    "segmenter": ("mask",),
    "explainer": ("heatmap", "explained", "classification", "evidence"),
}


@dataclass(frozen=True)
class Record:
    """A message and when it was recorded, seconds after START_NS."""

    topic: str
    seconds: float
    message: Any

    @property
    def recorded_ns(self) -> int:
        """When it was recorded, nanoseconds."""
        return at(self.seconds)


@dataclass(frozen=True)
class Bundles:
    """Folders of the models of `models`."""

    detector: Path
    segmenter: Path
    classifier: Path


def write_bundles(folder: Path) -> Bundles:
    """Write the bundles; the segmenter's is explained, too."""
    return Bundles(
        models.write_detector_bundle(folder / "detector"),
        models.write_segmenter_bundle(folder / "segmenter", explain=True),
        models.write_classifier_bundle(folder / "classifier"),
    )


def plan_for(bundles: Bundles, *names: str, **changes: Any) -> ReplayPlan:
    """Return a plan with the named nodes; changes: parameters by node, or the plan's own fields."""
    given: dict[str, dict[str, Any]] = {
        "detector": {"model": str(bundles.detector)},
        "segmenter": {"model": str(bundles.segmenter)},
        "explainer": {"model": str(bundles.detector)},
        "mapper": {"resolution": 0.1},
    }
    for name in NODES:
        given[name] |= changes.pop(name, {})
    parameters = {name: NODES[name].complete(given[name]) for name in NODES if name in names}
    return ReplayPlan(parameters=parameters, **changes)


def at(seconds: float) -> int:
    """Return a time in nanoseconds."""
    return START_NS + round(seconds * SECOND)


def header(seconds: float, frame_id: str = "camera") -> Any:
    """Return a header with a stamp in seconds after START_NS."""
    return encode.header(Header(at(seconds), frame_id))


def picture(width: int = SIZE[0], height: int = SIZE[1], **cells: tuple[int, int]) -> Any:
    """Return a picture with one cell of each color named; without any, red at (2, 1)."""
    wanted = {cell: color for color, cell in (cells or {"red": (2, 1)}).items()}
    return models.paint(wanted, width=width, height=height)


def color(seconds: float, pixels: Any = None, frame_id: str = "camera") -> Any:
    """Return an Image."""
    return encode.image(header(seconds, frame_id), picture() if pixels is None else pixels)


def compressed_color(seconds: float, pixels: Any = None) -> Any:
    """Return a CompressedImage."""
    rgb = picture() if pixels is None else pixels
    data = encode_png(rgb)
    return encode.compressed_image(header(seconds), data, "rgb8; png compressed bgr8")


def depth(
    seconds: float, metres: float = 2.0, size: tuple[int, int] = SIZE, frame_id: str = "camera"
) -> Any:
    """Return a depth Image of a wall, 16UC1."""
    wall = np.full(size[::-1], round(metres * 1000), np.uint16)
    return encode.depth_image(header(seconds, frame_id), wall)


def compressed_depth(seconds: float, metres: float = 2.0) -> Any:
    """Return a CompressedImage of compressedDepth."""
    data = encode_compressed_depth(np.full(SIZE[::-1], round(metres * 1000), np.uint16))
    return encode.compressed_image(header(seconds), data, "16UC1; compressedDepth")


def info(seconds: float, size: tuple[int, int] = SIZE, frame_id: str = "camera") -> Any:
    """Return a CameraInfo."""
    width, height = size
    focal = 0.8 * width
    camera = CameraIntrinsics(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    return encode.camera_info(header(seconds, frame_id), camera)


def pose(seconds: float) -> Any:
    """Return the transform of the robot in the map."""
    motion = RigidTransform(np.eye(3), np.array([0.1 * (seconds % 100.0), 0.0, 0.0]))
    return encode.transforms(StampedTransform("map", "base_link", at(seconds), motion))


def mount(*frame_ids: str) -> Record:
    """Return the static transform of cameras on the robot."""
    edges = [
        StampedTransform(
            "base_link", name, START_NS, RigidTransform(_FORWARD, np.array([0.0, 0.2 * i, 0.5]))
        )
        for i, name in enumerate(frame_ids or ("camera",))
    ]
    return Record("/tf_static", 0.0, encode.transforms(*edges))


def moment(seconds: float, recorded: float | None = None, pixels: Any = None) -> list[Record]:
    """Return a pose, a camera_info, a depth image and a picture of one moment."""
    when = seconds if recorded is None else recorded
    return [
        Record("/tf", when, pose(seconds)),
        Record(INFO, when, info(seconds)),
        Record(DEPTH, when, depth(seconds)),
        Record(COLOR, when, color(seconds, pixels)),
    ]


def drive(count: int = 5, period: float = 0.1) -> list[Record]:
    """Return a static transform, and moments from 0 s on."""
    return [mount(), *(each for k in range(count) for each in moment(round(k * period, 6)))]


def without(records: Iterable[Record], *topics: str) -> list[Record]:
    """Return the records of the other topics."""
    return [each for each in records if each.topic not in topics]


def write(
    path: Path, records: Sequence[Record], storage: str = "mcap", *, latch: bool = True
) -> Path:
    """Write a bag, messages in the given order; latch: offer /tf_static as transient local."""
    with BagWriter(path, storage=storage) as bag:
        for each in records:
            latched = latch and each.topic in TRANSIENT
            message = each.message
            bag.write(each.topic, message.__msgtype__, message, each.recorded_ns, latched=latched)
    return path


def write_compressed(
    path: Path, records: Sequence[Record], storage: StoragePlugin, mode: CompressionMode
) -> Path:
    """Write a bag whose file or messages are compressed with zstd, by rosbags' own writer."""
    store = typestore()
    writer = Writer(path, version=8, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for each in records:
            msgtype = each.message.__msgtype__
            if each.topic not in connections:
                connections[each.topic] = writer.add_connection(
                    each.topic,
                    msgtype,
                    typestore=store,
                    offered_qos_profiles=[_transient()] if each.topic in TRANSIENT else [],
                )
            data = store.serialize_cdr(each.message, msgtype)
            writer.write(connections[each.topic], each.recorded_ns, data)
    return path


def _transient() -> Qos:
    forever = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


def replayed(bag: Path, plan: ReplayPlan, out: Path) -> ReplayRun:
    """Replay a bag twice; returns the first run, after everything that holds for any was checked.

    The two are equal. Statistics add up, and frames.csv agrees with them. Digests are those of the
    messages in the results bag, which has valid metadata. Headers are those of source messages.
    """
    first, second = replay(bag, plan, out / "first"), replay(bag, plan, out / "second")
    assert _steady(first) == _steady(second)
    assert first.results.joinpath("results.mcap").read_bytes() == (
        second.results.joinpath("results.mcap").read_bytes()
    )
    _check_statistics(first)
    _check_results(first)
    _check_headers(bag, first)
    assert ReplayRun.load(first.out).summary == first.summary
    return first


def outcomes(run: ReplayRun, node: str) -> list[tuple[float, str]]:
    """Return stamp, in seconds after START_NS, and outcome of each message of a node."""
    return [
        (round((each.stamp_ns - START_NS) / SECOND, 6), each.outcome)
        for each in run.frames()
        if each.node == node
    ]


def details(run: ReplayRun, node: str) -> list[str]:
    """Return the errors' texts of the messages that a node dropped."""
    return [each.detail for each in run.frames() if each.node == node and each.detail]


def results(run: ReplayRun, topic: str) -> list[Any]:
    """Return the messages of a topic of the results."""
    return [item.message for item in read_results(run.results).messages if item.topic == topic]


def topics(run: ReplayRun) -> set[str]:
    """Return the topics of the results."""
    return {topic.name for topic in read_results(run.results).topics}


@dataclass(frozen=True)
class Results:
    """A results bag: topics, messages, and the messages as they are stored."""

    topics: tuple[BagTopic, ...]
    messages: tuple[BagMessage, ...]
    stored: tuple[RawBagMessage, ...]


@lru_cache(maxsize=8)
def read_results(path: Path) -> Results:
    """Read a results bag, once: to open one takes longer than all else that tests do."""
    with BagReader(path) as bag:
        stored = tuple(bag.raw_messages())
        messages = tuple(
            BagMessage(raw.topic, raw.msgtype, bag.deserialize(raw), raw.stamp_ns) for raw in stored
        )
        return Results(bag.topics, messages, stored)


def seconds_of(messages: Iterable[Any]) -> list[float]:
    """Return the stamps of messages in seconds after START_NS."""
    return [round((stamp_to_ns(each.header.stamp) - START_NS) / SECOND, 6) for each in messages]


def found(message: Any) -> list[str]:
    """Return the class names of a Detection2DArray or Detection3DArray, sorted."""
    return sorted(each.results[0].hypothesis.class_id for each in message.detections)


def _steady(run: ReplayRun) -> tuple[Any, ...]:
    """Return what two replays have in common: all but times and versions."""
    summary = {k: v for k, v in run.summary.items() if k not in ("timing", "versions")}
    rows = list(csv.DictReader(io.StringIO((run.out / "frames.csv").read_text(encoding="utf-8"))))
    for row in rows:
        row.pop("milliseconds")
    map_file = run.map_file
    return summary, rows, None if map_file is None else map_file.read_bytes()


def _check_statistics(run: ReplayRun) -> None:
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for each in run.frames():
        counted[each.node][each.outcome] += 1
        assert (each.outcome == PROCESSED) == (each.detail == ""), each
        assert "\n" not in each.detail
    for name, statistics in run.summary["nodes"].items():
        assert statistics["received"] == statistics["processed"] + sum(
            statistics["dropped"].values()
        )
        told = Counter({PROCESSED: statistics["processed"], **statistics["dropped"]})
        assert +told == +counted.pop(name, Counter())
    assert not counted


def _check_results(run: ReplayRun) -> None:
    digests: dict[str, Any] = defaultdict(hashlib.sha256)
    read = read_results(run.results)
    latched = {topic.name for topic in read.topics if topic.latched}
    for raw in read.stored:
        digests[raw.topic].update(raw.data)
    assert {name: each.hexdigest() for name, each in digests.items()} == run.summary["digests"]
    once = {name for name in digests if name.rpartition("/")[2] == "label_info"}
    once |= {"/octomap_binary", "/octomap_full", "/projected_map", "/color_octomap"} & set(digests)
    for statistics in run.summary["nodes"].values():  # installed components say it themselves
        once |= {
            name for name, often in statistics.get("publishes", {}).items() if often == "latched"
        }
    assert latched == once
    text = (run.results / "metadata.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)["rosbag2_bagfile_information"]
    assert (content["version"], content["storage_identifier"]) == (8, "mcap")
    for topic in content["topics_with_message_count"]:
        described = topic["topic_metadata"]
        profiles = described["offered_qos_profiles"]
        (profile,) = yaml.safe_load(profiles) if isinstance(profiles, str) else profiles
        durable = profile["durability"] in (1, "transient_local")
        assert durable == (described["name"] in once), described["name"]


def _check_headers(bag: Path, run: ReplayRun) -> None:
    """Every output has the header and the recorded time of a message that its node processed."""
    answered: dict[str, list[FrameRecord]] = defaultdict(list)
    for each in run.frames():
        if each.outcome == PROCESSED:
            answered[each.node].append(each)
    own = (each for each in run.frames() if each.node.rpartition("/")[2] in _PER_IMAGE)
    sources = _source_headers(bag, {each.topic for each in own})
    for item in read_results(run.results).messages:
        node, _, output = item.topic.strip("/").rpartition("/")
        if output in _PER_IMAGE.get(node.rpartition("/")[2], ()):
            key = (item.stamp_ns, stamp_to_ns(item.message.header.stamp))
            (topic,) = {each.topic for each in answered[node]}
            assert key in {(each.recorded_ns, each.stamp_ns) for each in answered[node]}
            assert (*key, item.message.header.frame_id) in sources[topic]
    for node, records in answered.items():
        kind = node.rpartition("/")[2]
        if kind in _PER_IMAGE:
            outputs_of = results(run, f"/{node}/{_PER_IMAGE[kind][0]}")
            assert Counter(stamp_to_ns(m.header.stamp) for m in outputs_of) == Counter(
                each.stamp_ns for each in records
            )


def _source_headers(bag: Path, names: set[str]) -> Mapping[str, set[tuple[int, int, str]]]:
    found: dict[str, set[tuple[int, int, str]]] = defaultdict(set)
    with BagReader(bag) as reader:
        for item in reader.messages(names):
            head = item.message.header
            found[item.topic].add((item.stamp_ns, stamp_to_ns(head.stamp), head.frame_id))
    return found
