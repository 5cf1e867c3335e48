"""Components of other packages in a replay: what feeds them, and what holds for their results."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import recorded_robot as robot
from cnn_perception.components.registry import component_kind
from cnn_perception.errors import ConfigError
from cnn_perception.recording.compose import encode
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.expectations import check, load_expectations
from cnn_perception.replay.expectations.golden import record_golden
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.fleet.fingerprint import model_digests
from cnn_perception.replay.plan import ReplayPlan, load_plan
from cnn_perception.replay.replayer import replay
from cnn_perception.replay.run import ReplayRun
from cnn_perception.types import Detections
from installed_components import PEOPLE_COUNTER, install
from recorded_robot import COLOR, DONE, Bundles, Record, drive, outcomes

ALONE: dict[str, Any] = dict.fromkeys(robot.ALL, False)
DETECTIONS = "vision_msgs/msg/Detection2DArray"

OTHERS = '''
from cnn_perception import components as cp

NUMBER, IMAGE = "std_msgs/msg/Int32", "sensor_msgs/msg/Image"


class Odd(cp.Component):
    """Speaks of every other number alone, under a name of its own."""

    kind = "odd"

    def inputs(self):
        return [cp.Input("number", NUMBER, self.take)]

    def outputs(self):
        return [cp.Topic("alarm", NUMBER, every_frame=False), cp.Topic("/state", NUMBER, True)]

    def announce(self):
        yield cp.Output("/state", self.encode.message(NUMBER, data=7))

    def take(self, frame):
        if frame.message.data % 2:
            yield cp.Output("alarm", frame.message)


class Silent(cp.Component):
    """Says that it speaks of every picture, and does not."""

    kind = "silent"

    def inputs(self):
        return [cp.Input("image", IMAGE, self.take)]

    def outputs(self):
        return [cp.Topic("~/answer", IMAGE)]

    def take(self, frame):
        return ()


class Painter(Silent):
    """Gives pictures back, the second one under another header where it is told to."""

    kind = "painter"
    wrong = ""

    def take(self, frame):
        header, pixels = frame.message.header, frame.color().copy()
        if header.frame_id == self.wrong:
            header = self.encode.header(cp.Frame(None, "", 5).header)
        yield cp.Output("~/answer", self.encode.image(header, pixels))


class Wrong(Painter):
    kind = "wrong"
    wrong = "camera"


class Lost(Silent):
    kind = "lost"

    def take(self, frame):
        yield cp.Output("~/answr", frame.message)


class Busy(Silent):
    kind = "busy"
    drop_reasons = {"busy": "there is no time"}

    def admit(self, frame):
        return "busy"
'''


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example, and a module of odd components."""
    names = ("Odd", "Silent", "Painter", "Wrong", "Lost", "Busy")
    source = tmp_path / "others"
    source.mkdir()
    (source / "odd_components.py").write_text(OTHERS, encoding="utf-8")
    others = {name.lower(): f"odd_components:{name}" for name in names}
    monkeypatch.syspath_prepend(str(source))
    monkeypatch.delitem(sys.modules, "odd_components", raising=False)
    broken = {"broken": "odd_components:Nothing", "text": "odd_components:NUMBER"}
    install(monkeypatch, tmp_path, PEOPLE_COUNTER | others | broken)


def plan_of(folder: Path, **content: Any) -> ReplayPlan:
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_plan(file)


def judged(run: ReplayRun, expectations: Expectations | None = None) -> dict[str, Check]:
    return {each.name: each for each in check(run, expectations or Expectations())}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, each in checks.items() if not each.passed}


def with_detector(bundles: Bundles, **more: Any) -> dict[str, Any]:
    return ALONE | {"detector": {"model": str(bundles.detector)}} | more


def detections(seconds: float, *labels: str) -> Any:
    count = len(labels)
    boxes = np.tile(np.array([0, 0, 20, 20], np.float32), (count, 1))
    found = Detections(boxes, np.full(count, 0.9, np.float32), np.arange(count, dtype=np.int32))
    return encode.detections_2d(robot.header(seconds), found, labels)


def number(seconds: float, value: int) -> Record:
    return Record("/number", seconds, encode.message("std_msgs/msg/Int32", data=value))


# --- the example


def test_the_example_counts_what_the_detector_beside_it_finds(
    tmp_path: Path, bundles: Bundles
) -> None:
    bag = robot.write(tmp_path / "bag", drive(4))
    plan = plan_of(tmp_path, **with_detector(bundles, people_counter={"label": "red"}))
    run = robot.replayed(bag, plan, tmp_path)
    assert outcomes(run, "people_counter") == [(k / 10, DONE) for k in range(4)]
    found = robot.results(run, "/people_counter/people")
    assert [robot.found(message) for message in found] == [["red"]] * 4
    assert robot.seconds_of(found) == [0.0, 0.1, 0.2, 0.3]
    assert [m.data for m in robot.results(run, "/people_counter/count")] == [1] * 4
    statistics = run.summary["nodes"]["people_counter"]
    assert (statistics["topic"], statistics["found"]) == ("/detector/detections", 4)
    assert run.summary["configuration"]["people_counter"]["label"] == "red"
    record_golden(run, tmp_path / "golden")
    checks = judged(run, Expectations(golden=tmp_path / "golden"))
    assert failed(checks) == set()
    assert checks["received.people_counter"].message == "received all 4 messages"
    for topic in ("people", "count"):
        assert checks[f"headers./people_counter/{topic}"].message.startswith("4 frames")
        assert checks[f"golden./people_counter/{topic}"].passed


@pytest.mark.usefixtures("compiled_kernels")
@pytest.mark.replay(
    "../../../data/demo_drive",
    config="../../../examples/own_component/replay.yaml",
    expect="../../../examples/own_component/expect.yaml",
)
def test_the_example_holds_what_it_expects_of_the_shipped_drive(packages, replay) -> None:
    replay.check()
    counts = [message.data for message in replay.messages("/people_counter/count")]
    assert (len(counts), sum(counts), counts[68], counts[79]) == (120, 11, 1, 0)


def test_a_message_that_it_refuses_is_dropped_under_its_own_reason(tmp_path: Path) -> None:
    malformed = detections(0.1, "person")
    malformed.detections[0].results.clear()
    messages = [detections(0.0, "person"), malformed, detections(0.2)]
    records = [Record("/found", k / 10, each) for k, each in enumerate(messages)]
    bag = robot.write(tmp_path / "bag", records)
    run = robot.replayed(bag, plan_of(tmp_path, **ALONE, people_counter=None), tmp_path)
    expected = [(0.0, DONE), (0.1, "no_hypothesis"), (0.2, DONE)]
    assert outcomes(run, "people_counter") == expected
    assert robot.details(run, "people_counter") == ["a detection has no class: mend the detector"]
    assert [m.data for m in robot.results(run, "/people_counter/count")] == [1, 0]
    assert failed(judged(run)) == {"processed.people_counter"}
    file = tmp_path / "expect.yaml"
    file.write_text("drops: {no_hypothesis: 1}\nframes: {people_counter: {dropped: 1}}\n")
    assert failed(judged(run, load_expectations(file))) == set()
    file.write_text("drops: {no_hypotheses: 1}\n")
    with pytest.raises(ConfigError, match="did you mean no_hypothesis"):
        load_expectations(file)


def test_labels_can_be_asked_of_it(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", drive(2))
    plan = plan_of(tmp_path, **with_detector(bundles, people_counter={"label": "red"}))
    run = replay(bag, plan, tmp_path / "out")
    file = tmp_path / "expect.yaml"
    file.write_text("labels: [{node: people_counter, must: [red], must_not: [person]}]\n")
    assert failed(judged(run, load_expectations(file))) == set()
    file.write_text("labels: [{node: people_counter, must: [person]}]\n")
    assert failed(judged(run, load_expectations(file))) == {"labels[0].must.person"}


# --- what feeds it


def two_cameras(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    records = [number(k / 10, k) for k in range(4)]
    for name, color in (("front", "red"), ("rear", "green")):
        image = robot.color(0.0, robot.picture(**{color: (0, 0)}), f"{name}_camera")
        records.append(Record(f"/{name}/color", 0.0, image))
    records.sort(key=lambda each: each.seconds)
    cameras = {name: {"color": f"/{name}/color"} for name in ("front", "rear")}
    return robot.write(tmp_path / "bag", records), {"cameras": cameras}


def test_each_camera_has_its_own_and_what_reads_none_is_there_once(
    tmp_path: Path, bundles: Bundles
) -> None:
    bag, cameras = two_cameras(tmp_path)
    own = {"people_counter": {"label": ""}, "odd": None, "painter": True}
    run = robot.replayed(
        bag, plan_of(tmp_path, **with_detector(bundles, **cameras, **own)), tmp_path
    )
    beside = {
        f"{c}/{n}" for c in ("front", "rear") for n in ("detector", "people_counter", "painter")
    }
    assert set(run.summary["nodes"]) == beside | {"odd"}
    for camera, color in (("front", "red"), ("rear", "green")):
        (message,) = robot.results(run, f"/{camera}/people_counter/people")
        assert (robot.found(message), message.header.frame_id) == ([color], f"{camera}_camera")
    assert [m.data for m in robot.results(run, "/alarm")] == [1, 3]
    assert failed(judged(run)) == set()


def test_a_topic_that_is_named_in_remap(tmp_path: Path, bundles: Bundles) -> None:
    bag, cameras = two_cameras(tmp_path)
    remap = {"remap": {"people_counter": {"detections": "/rear/detector/detections"}}}
    plan = plan_of(
        tmp_path, **with_detector(bundles, **cameras, **remap, people_counter={"label": ""})
    )
    run = robot.replayed(bag, plan, tmp_path)
    (message,) = robot.results(run, "/people_counter/people")
    assert robot.found(message) == ["green"]
    assert run.summary["configuration"]["remap"] == remap["remap"]
    assert run.summary["nodes"]["people_counter"]["topic"] == "/rear/detector/detections"


def test_an_answer_that_was_recorded_too_comes_once(tmp_path: Path, bundles: Bundles) -> None:
    recorded = Record("/detector/detections", 0.15, detections(0.1, "red", "red"))
    records = sorted([*drive(3), recorded], key=lambda each: each.seconds)
    bag = robot.write(tmp_path / "bag", records)
    fresh = plan_of(tmp_path, **with_detector(bundles, people_counter={"label": "red"}))
    run = robot.replayed(bag, fresh, tmp_path / "fresh")
    assert [m.data for m in robot.results(run, "/people_counter/count")] == [1, 1, 1]
    assert "/detector/detections" in run.summary["bag"]["unread"]
    assert failed(judged(run)) == set()
    old = plan_of(tmp_path, **ALONE, people_counter={"label": "red"})
    run = robot.replayed(bag, old, tmp_path / "old")
    assert [m.data for m in robot.results(run, "/people_counter/count")] == [2]
    assert failed(judged(run)) == set()


def test_an_input_without_messages(tmp_path: Path) -> None:
    bag = robot.write(tmp_path / "bag", [number(0.0, 1), *drive(1)])
    remap = {"people_counter": {"detections": False}}
    plan = plan_of(tmp_path, **ALONE, people_counter=None, odd=None, remap=remap)
    run = robot.replayed(bag, plan, tmp_path)
    assert run.summary["nodes"]["people_counter"]["received"] == 0
    assert run.summary["nodes"]["odd"]["received"] == 1


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({}, ("several topics", "detections", "/one or /two", "remap")),
        ({"remap": {"people_counter": {"detection": "/one"}}}, ("did you mean detections?",)),
        ({"remap": {"people_counter": {"detections": "/three"}}}, ("/three", "/one or /two")),
        ({"remap": {"people_counter": {"detections": COLOR}}}, (COLOR, "Image", "/one or /two")),
        ({"remap": {"people_counter": {"detections": 3}}}, ("remap.people_counter.detections",)),
        ({"remap": {"detector": {"image": "/one"}}}, ("remap.detector", "people_counter")),
        ({"people_counter": {"min_scor": 1.0}}, ("people_counter", "did you mean min_score?")),
        ({"people_counter": {"min_score": 2.0}}, ("min_score = 2.0", "from 0 to 1")),
        ({"people_countr": None}, ("did you mean people_counter?",)),
        ({"people_counter": False, "odd": None}, ("odd", "number", "no std_msgs/msg/Int32")),
        ({"broken": None}, ("broken = odd_components:Nothing", "cannot be loaded")),
        ({"text": None}, ("text = odd_components:NUMBER", "no subclass of Component")),
    ],
)
def test_what_cannot_be_fed_is_said_in_a_line(
    tmp_path: Path, content: dict[str, Any], parts: tuple[str, ...]
) -> None:
    found = [Record(topic, 0.0, detections(0.0)) for topic in ("/one", "/two")]
    bag = robot.write(tmp_path / "bag", [*found, *drive(1)])
    with pytest.raises(ConfigError) as error:
        replay(bag, plan_of(tmp_path, **ALONE | {"people_counter": None} | content), tmp_path / "o")
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_only_what_a_plan_names_is_replayed(tmp_path: Path, bundles: Bundles) -> None:
    assert plan_of(tmp_path) == ReplayPlan()
    assert plan_of(tmp_path, people_counter=False) == ReplayPlan()
    plan = plan_of(tmp_path, odd=None, people_counter=None)
    assert plan.others == ("odd", "people_counter")
    assert "remap" not in plan.as_mapping()


# --- what its results are held to


def test_a_component_that_speaks_of_some_frames(tmp_path: Path) -> None:
    bag = robot.write(tmp_path / "bag", [number(k / 10, k) for k in range(4)])
    run = replay(bag, plan_of(tmp_path, **ALONE, odd=None), tmp_path / "out")
    assert [m.data for m in robot.results(run, "/alarm")] == [1, 3]
    assert [m.data for m in robot.results(run, "/state")] == [7]
    published = {"/alarm": "sometimes", "/state": "latched"}
    assert run.summary["nodes"]["odd"]["publishes"] == published
    assert failed(judged(run)) == set()


def test_a_component_that_keeps_silent_fails(tmp_path: Path) -> None:
    bag = robot.write(tmp_path / "bag", drive(3))
    checks = judged(replay(bag, plan_of(tmp_path, **ALONE, silent=None), tmp_path / "out"))
    assert failed(checks) == {"headers./silent/answer"}
    assert "0 of 1 answers came" in checks["headers./silent/answer"].message


def test_answers_under_another_header_fail(tmp_path: Path) -> None:
    bag = robot.write(tmp_path / "bag", drive(3))
    plan = plan_of(tmp_path, **ALONE, painter=None, wrong=None)
    checks = judged(replay(bag, plan, tmp_path / "out"))
    assert failed(checks) == {"headers./wrong/answer"}


def test_pictures_are_held_to_golden_ones(tmp_path: Path) -> None:
    bag = robot.write(tmp_path / "bag", drive(2))
    run = replay(bag, plan_of(tmp_path, **ALONE, painter=None), tmp_path / "out")
    record_golden(run, tmp_path / "golden")
    expectations = Expectations(golden=tmp_path / "golden")
    assert failed(judged(run, expectations)) == set()
    records = [
        dataclasses.replace(each, message=robot.color(each.seconds, robot.picture(blue=(3, 3))))
        if each.topic == COLOR
        else each
        for each in drive(2)
    ]
    other = robot.write(tmp_path / "other", records)
    run = replay(other, plan_of(tmp_path, **ALONE, painter=None), tmp_path / "out")
    assert "golden./painter/answer" in failed(judged(run, expectations))


def test_frames_that_it_does_not_admit(tmp_path: Path) -> None:
    bag = robot.write(tmp_path / "bag", drive(2))
    run = replay(bag, plan_of(tmp_path, **ALONE, busy=None), tmp_path / "out")
    assert outcomes(run, "busy") == [(0.0, "busy"), (0.1, "busy")]
    assert robot.details(run, "busy") == ["there is no time"] * 2


def test_an_output_that_it_does_not_declare(tmp_path: Path) -> None:
    bag = robot.write(tmp_path / "bag", drive(1))
    run = replay(bag, plan_of(tmp_path, **ALONE, lost=None), tmp_path / "out")
    assert outcomes(run, "lost") == [(0.0, "internal_error")]
    (text,) = robot.details(run, "lost")
    assert "'~/answr' is not among the outputs(): declare it beside ['~/answer']" in text


def test_a_case_depends_on_the_code_of_its_components(tmp_path: Path) -> None:
    (file,) = model_digests(plan_of(tmp_path, **ALONE, people_counter=None))
    assert Path(file) == Path(inspect.getfile(component_kind("people_counter")))
