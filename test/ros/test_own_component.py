"""The example package's component as a live node, and beside its replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from std_msgs.msg import Int32
from vision_msgs.msg import Detection2DArray

from cnn_perception.components.component import Component
from cnn_perception.components.registry import component_kind
from cnn_perception.messages.encode import Encoder
from cnn_perception.recording import compose
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.replay.plan import NODES, ReplayPlan
from cnn_perception.replay.replayer import replay
from cnn_perception.ros.encode import encode
from cnn_perception.types import Detections, Header
from installed_components import install

PLACES = (0.0, 40.0, 80.0, 120.0, 160.0)
MALFORMED = 2
ZONE = {"left": 30, "width": 100}


@pytest.fixture
def people_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Component]:
    """The example's class, found by its entry point."""
    install(monkeypatch, tmp_path)
    return component_kind("people_counter")


def answer(encoder: Encoder, number: int) -> Any:
    """A person around (x, 20) and a chair, as of one library; the malformed one has no class."""
    x = PLACES[number]
    boxes = np.array([(x - 10, 0, x + 10, 40), (50, 0, 90, 40)], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.arange(2, dtype=np.int32))
    header = encoder.header(Header((number + 1) * 1_000_000_000, "camera"))
    message = encoder.detections_2d(header, found, ["person", "chair"])
    if number == MALFORMED:
        message.detections[0].results.clear()
    return message


def test_counts_headers_and_drops_are_those_of_the_replay(
    stage, people_counter, tmp_path: Path
) -> None:
    node = stage.running(people_counter, "people_counter", **ZONE)
    people = stage.hear(Detection2DArray, "people_counter/people")
    counts = stage.hear(Int32, "people_counter/count")
    stage.linked(node, "~/people", "~/count")
    detector = stage.speak(Detection2DArray, "detections")
    for number in range(len(PLACES)):
        detector.publish(answer(encode, number))
        statistics = stage.settled(node, number + 1)
    stage.until(lambda: len(counts) == len(people) == len(PLACES) - 1)
    assert [message.data for message in counts] == [0, 1, 1, 0]
    assert [m.header.stamp.sec for m in people] == [1, 2, 4, 5]
    assert {m.header.frame_id for m in people} == {"camera"}
    inside = answer(encode, 1).detections[0]
    assert people[1].detections == [inside]
    assert (statistics.received, statistics.processed) == (5, 4)
    assert statistics.dropped == {"no_hypothesis": 1}

    with BagWriter(tmp_path / "bag") as bag:
        for number in range(len(PLACES)):
            message = answer(compose.encode, number)
            bag.write("/detections", message.__msgtype__, message, (number + 1) * 1_000_000_000)
    parameters = {"people_counter": people_counter.parameters.complete(ZONE)}
    run = replay(tmp_path / "bag", ReplayPlan(parameters=parameters), tmp_path / "out")
    assert not set(NODES) & set(run.summary["nodes"])
    again = run.summary["nodes"]["people_counter"]
    assert (again["received"], again["processed"]) == (statistics.received, statistics.processed)
    assert again["dropped"] == statistics.dropped
    with BagReader(run.results) as results:
        replayed = [m.message.data for m in results.messages(["/people_counter/count"])]
        found = [m.message for m in results.messages(["/people_counter/people"])]
    assert replayed == [message.data for message in counts]
    assert [(m.header.stamp.sec, len(m.detections)) for m in found] == [
        (m.header.stamp.sec, len(m.detections)) for m in people
    ]


def test_its_parameters_have_ranges_and_change_between_two_frames(stage, people_counter) -> None:
    node = stage.running(people_counter, "people_counter", **ZONE)
    own = f"{stage.namespace}/people_counter"
    request = DescribeParameters.Request(names=["min_score", "left"])
    score, left = stage.call(DescribeParameters, f"{own}/describe_parameters", request).descriptors
    assert score.description.startswith("Lowest score")
    (limits,) = score.floating_point_range
    assert (limits.from_value, limits.to_value) == (0.0, 1.0)
    assert left.integer_range[0].to_value == 65535

    def told(name: str, **value: Any) -> Any:
        parameter = ParameterMessage(name=name, value=ParameterValue(**value))
        request = SetParameters.Request(parameters=[parameter])
        return stage.call(SetParameters, f"{own}/set_parameters", request).results[0]

    refused = told("min_score", type=ParameterType.PARAMETER_DOUBLE, double_value=2.0)
    assert not refused.successful
    assert "min_score" in refused.reason
    counts = stage.hear(Int32, "people_counter/count")
    stage.linked(node, "~/count")
    detector = stage.speak(Detection2DArray, "detections")
    detector.publish(answer(encode, 1))
    stage.until(lambda: counts)
    assert told("label", type=ParameterType.PARAMETER_STRING, string_value="").successful
    detector.publish(answer(encode, 1))
    stage.until(lambda: len(counts) == 2)
    assert [message.data for message in counts] == [1, 2]


def test_diagnostics_tell_its_statistics_and_latencies(stage, people_counter) -> None:
    node = stage.running(people_counter, "people_counter")
    heard = stage.hear(DiagnosticArray, "/diagnostics")
    detector = stage.speak(Detection2DArray, "detections")
    for number in (0, MALFORMED):
        detector.publish(answer(encode, number))
        stage.settled(node, 1 if number == 0 else 2)

    def told() -> dict[str, str]:
        name = node.get_fully_qualified_name()
        mine = [s for m in heard for s in m.status if s.name.endswith(name)]
        return {pair.key: pair.value for pair in mine[-1].values} if mine else {}

    values = stage.until(lambda: told() if told().get("received") == "2" else None)
    assert (values["processed"], values["dropped.no_hypothesis"]) == ("1", "1")
    assert float(values["latency_p50_ms"]) > 0
