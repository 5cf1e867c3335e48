"""One bag offline and live in lockstep: equal detections, masks, explanations and map cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from octomap_msgs.msg import Octomap
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, Detection3DArray

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.explainer import ExplainerComponent
from cnn_perception.components.mapper import MapperComponent
from cnn_perception.components.segmenter import SegmenterComponent
from cnn_perception.mapping.files.octomap_codec import decode_full
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.streams import camera_streams
from cnn_perception.replay.plan import NODES, ReplayPlan
from cnn_perception.replay.replayer import replay
from cnn_perception.resources import demo_drive
from live_robot import Robot, play

KINDS = {
    "detector": DetectorComponent,
    "segmenter": SegmenterComponent,
    "explainer": ExplainerComponent,
    "mapper": MapperComponent,
}
TYPES = {
    "/detector/detections": Detection2DArray,
    "/detector/detections_3d": Detection3DArray,
    "/segmenter/mask": Image,
    "/explainer/heatmap": Image,
    "/explainer/explained": Detection2DArray,
    "/explainer/evidence": Detection2DArray,
}

pytestmark = pytest.mark.usefixtures("compiled_kernels")


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.close()


def offline(bag: Path, out: Path, parameters: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """Replay the bag; return its results as rclpy messages by topic."""
    complete = {name: NODES[name].complete(values) for name, values in parameters.items()}
    run = replay(bag, ReplayPlan(parameters=complete), out)
    heard: dict[str, list[Any]] = {}
    types = {**TYPES, "/octomap_full": Octomap}
    with BagReader(run.results) as results:
        for raw in results.raw_messages([t.name for t in results.topics if t.name in types]):
            message = deserialize_message(bytes(raw.data), types[raw.topic])
            heard.setdefault(raw.topic, []).append(message)
    return heard


def live(
    robot: Robot, bag: Path, parameters: dict[str, dict[str, Any]], topics: list[str]
) -> dict[str, list[Any]]:
    """Play the bag in lockstep to the nodes; return what they published by topic."""
    with BagReader(bag) as reader:
        streams = camera_streams(reader)
        count = reader.topic(streams.color).count
    image, transport = {"image": streams.color_base}, {}
    depth = {"depth/image": streams.depth_base, "depth/camera_info": streams.camera_info}
    if streams.compressed:
        transport = {"image_transport": "compressed"}
    for name, values in parameters.items():
        remaps = depth if name == "mapper" else image | (depth if name == "detector" else {})
        extra = {"publish_rate": 100.0} if name == "mapper" else {}
        robot.run(KINDS[name], name, remaps, **values, **transport, **extra)
    heard = {topic: robot.hear(kind, topic) for topic, kind in TYPES.items() if topic in topics}
    maps = robot.hear(Octomap, "/octomap_full")
    awaited = dict.fromkeys(heard, streams.color) | {"/octomap_full": streams.depth}
    summary = play(bag, awaited)
    assert summary.missing == ()
    robot.until(lambda: all(len(messages) == count for messages in heard.values()))
    robot.until(lambda: maps and maps[-1].header.stamp == heard[topics[0]][-1].header.stamp)
    return heard | {"/octomap_full": maps[-1:]}


def assert_equal(first: dict[str, list[Any]], second: dict[str, list[Any]], count: int) -> None:
    assert first.keys() == second.keys()
    for topic in first:
        stamps = [stamp_to_ns(message.header.stamp) for message in first[topic]]
        assert len(stamps) == (1 if topic == "/octomap_full" else count)
        assert stamps == [stamp_to_ns(message.header.stamp) for message in second[topic]]
        for one, other in zip(first[topic], second[topic], strict=True):
            assert one == other, (topic, stamp_to_ns(one.header.stamp))
    (one,), (other,) = first["/octomap_full"], second["/octomap_full"]
    cells, others = (decode_full(np.asarray(m.data).tobytes()) for m in (one, other))
    assert len(cells) > 0
    assert np.array_equal(cells.keys, others.keys)
    assert np.array_equal(cells.log_odds, others.log_odds)


def test_a_painted_drive(drive: Path, bundles: Path, robot: Robot, tmp_path: Path) -> None:
    parameters: dict[str, dict[str, Any]] = {
        "detector": {"model": str(bundles / "rooms_ssdlite"), "use_depth": True},
        "segmenter": {"model": str(bundles / "rooms_fcn")},
        "mapper": {"sensor_model.max_range": 5.0},
    }
    replayed = offline(drive, tmp_path / "out", parameters)
    topics = ["/detector/detections", "/detector/detections_3d", "/segmenter/mask"]
    assert sorted(replayed) == sorted([*topics, "/octomap_full"])
    assert_equal(replayed, live(robot, drive, parameters, topics), 20)


def test_the_shipped_drive_and_models(robot: Robot, tmp_path: Path) -> None:
    parameters: dict[str, dict[str, Any]] = {
        "detector": {"model": "rooms_ssdlite"},
        "segmenter": {"model": "rooms_fcn"},
        "explainer": {"model": "rooms_ssdlite"},
        "mapper": {"sensor_model.max_range": 5.0},
    }
    bag = demo_drive()
    replayed = offline(bag, tmp_path / "out", parameters)
    topics = [topic for topic in TYPES if topic != "/detector/detections_3d"]
    assert_equal(replayed, live(robot, bag, parameters, topics), 120)
