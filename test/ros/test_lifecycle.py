"""Lifecycle, parameters, diagnostics, time and the end of a node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import models

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.mapper import MapperComponent
from cnn_perception.components.segmenter import SegmenterComponent
from cnn_perception.config import DetectorConfig
from cnn_perception.errors import ConfigError
from cnn_perception.ros.encode import encode
from cnn_perception.settings import settings


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(models.write_detector_bundle(tmp_path / "detector"))


def picture(seconds: int) -> Image:
    header = Header(frame_id="camera")
    header.stamp.sec = seconds
    return encode.image(header, models.paint({(1, 1): "red"}, width=64, height=48))


def test_the_node_works_only_while_active_and_starts_again(stage, model) -> None:
    node = stage.node(DetectorComponent, "detector", model=model, autostart=False)
    assert node.start()
    found = stage.hear(Detection2DArray, "detector/detections")
    camera = stage.probe.create_publisher(Image, "image", 10)
    assert camera.get_subscription_count() == 0
    for stamp in (1, 2):
        node.trigger_configure()
        node.trigger_activate()
        stage.linked(node, "~/detections")
        stage.until(camera.get_subscription_count)
        camera.publish(picture(stamp))
        stage.until(lambda n=stamp: len(found) == n)
        node.trigger_deactivate()
        stage.until(lambda: camera.get_subscription_count() == 0)
        node.trigger_cleanup()
    assert [f.header.stamp.sec for f in found] == [1, 2]
    assert stage.settled(node, 2).processed == 2


def test_a_missing_model_fails_configure_and_can_be_mended(stage, model, tmp_path) -> None:
    node = stage.node(DetectorComponent, "detector", model=str(tmp_path / "nowhere"))
    assert not node.start()
    assert node.set_parameters([Parameter("model", value=model)])[0].successful
    assert node.start()


def test_the_model_of_another_task_fails_configure(stage, model) -> None:
    assert not stage.node(SegmenterComponent, "segmenter", model=model).start()


def test_every_setting_is_a_described_parameter_with_the_same_default(stage, model) -> None:
    node = stage.node(DetectorComponent, "detector", model=model)
    for setting in settings(DetectorConfig):
        descriptor = node.describe_parameter(setting.name)
        assert descriptor.description == setting.description
        assert node.get_parameter(setting.name).value == setting.default
    low_high = node.describe_parameter("score_threshold").floating_point_range[0]
    assert (low_high.from_value, low_high.to_value) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("score_threshold", 7.0, "range|above"),
        ("score_threshold", "high", "type"),
        ("max_detections", 0, "range|below"),
    ],
)
def test_bad_values_are_refused_with_the_reason(stage, model, name, value, reason) -> None:
    import re

    node = stage.running(DetectorComponent, "detector", model=model)
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    assert re.search(reason, result.reason)


def test_what_is_read_at_configure_is_refused_while_configured(stage, model) -> None:
    node = stage.running(DetectorComponent, "detector", model=model)
    result = node.set_parameters([Parameter("model", value="other")])[0]
    assert not result.successful
    assert "configure" in result.reason
    assert node.get_parameter("model").value == model


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"score_treshold": 0.5}, "score_treshold.*did you mean score_threshold"),
        ({"score_threshold": 2.0}, "score_threshold"),
        ({"score_threshold": 1}, "score_threshold.*number with a point"),
        ({"image_transport": "theora"}, "theora.*raw, compressed"),
    ],
)
def test_bad_parameters_at_the_start_are_one_clear_error(stage, parameters, words) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        stage.node(DetectorComponent, "detector", **parameters)
    assert "\n" not in str(caught.value)


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_diagnostics_give_all_statistics(stage, model) -> None:
    heard = stage.hear(DiagnosticArray, "/diagnostics")
    node = stage.running(DetectorComponent, "detector", model=model)
    camera = stage.speak(Image, "image")
    spoilt = picture(2)
    spoilt.encoding = "nonsense"
    for i, message in enumerate((picture(1), spoilt, picture(3))):
        camera.publish(message)
        stage.settled(node, i + 1)
    name = node.get_fully_qualified_name()

    def statistics() -> dict[str, str] | None:
        found = [s for m in heard for s in m.status if s.name == name]
        values = values_of(found[-1]) if found else {}
        return values if values.get("received") == "3" else None

    values = stage.until(statistics)
    assert values["processed"] == "2"
    assert values["dropped.unknown_encoding"] == "1"
    assert values["provider"] == "CPUExecutionProvider"
    assert values["model"] == node.component.bundle.name
    assert 0 < float(values["compute_p50_ms"]) <= float(values["latency_p99_ms"])


def test_silence_is_said_with_the_topic(stage, model) -> None:
    heard = stage.hear(DiagnosticArray, "/diagnostics")
    node = stage.running(DetectorComponent, "detector", model=model)
    warning = stage.until(
        lambda: [
            s.message
            for m in heard
            for s in m.status
            if s.name == node.get_fully_qualified_name() and s.level == DiagnosticStatus.WARN
        ]
    )[0]
    assert warning.startswith(f"{stage.namespace}/image: nothing heard for ")
    assert warning.endswith("(0 publishers)")


def test_a_recording_that_loops_gives_the_same_counts(stage, model) -> None:
    node = stage.running(DetectorComponent, "detector", model=model, use_sim_time=True)
    found = stage.hear(Detection2DArray, "detector/detections")
    stage.linked(node, "~/detections")
    camera, clock = stage.speak(Image, "image"), stage.speak(Clock, "/clock")
    for loop in range(3):
        for stamp in range(1, 5):
            tick = Clock()
            tick.clock.sec = stamp
            clock.publish(tick)
            camera.publish(picture(stamp))
            stage.until(lambda n=loop * 4 + stamp: len(found) == n)
    assert [f.header.stamp.sec for f in found] == [1, 2, 3, 4] * 3
    snapshot = stage.settled(node, 12)
    assert (snapshot.processed, snapshot.dropped) == (12, {})


@pytest.mark.usefixtures("compiled_kernels")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("which", ["detector", "mapper"])
@pytest.mark.parametrize("when", ["starting", "listening"])
def test_a_signal_ends_the_process_cleanly(stage, model, which, number, when) -> None:
    arguments = ["--ros-args", "-r", f"__ns:={stage.namespace}"]
    if which == "detector":
        arguments += ["-p", f"model:={model}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cnn_perception.ros.run", which, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    topic = f"{stage.namespace}/image" if which == "detector" else f"{stage.namespace}/depth/image"
    try:
        if when == "starting":
            started = (which, stage.namespace)
            stage.until(lambda: started in stage.probe.get_node_names_and_namespaces())
        else:
            stage.until(lambda: stage.probe.count_subscribers(topic))
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in out + err


@pytest.mark.usefixtures("compiled_kernels")
def test_ctrl_c_raises_nothing_in_the_middle_of_a_start() -> None:
    script = (
        "import os, signal\n"
        "from cnn_perception.components.mapper import MapperComponent\n"
        "from cnn_perception.ros.run import run\n"
        "class Interrupted(MapperComponent):\n"
        "    def __init__(self, setup):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('still starting', flush=True)\n"
        "        super().__init__(setup)\n"
        "run(Interrupted)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "still starting\n")
    assert "Traceback" not in done.stderr


def test_a_start_that_fails_is_one_line_and_exit_code_1(stage) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cnn_perception.ros.run", "detector", "--ros-args"),
            *("-r", f"__ns:={stage.namespace}", "-p", "score_treshold:=0.5"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "did you mean score_threshold" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_mapper_needs_no_model(stage) -> None:
    assert stage.node(MapperComponent, "mapper").start()
