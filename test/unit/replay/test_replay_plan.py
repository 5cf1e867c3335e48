"""A plan is read strictly, and its values are those that a file would have."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cnn_perception.errors import ConfigError
from cnn_perception.replay.plan import NODES, CameraTopics, ReplayPlan, Truth, load_plan


def plan_of(folder: Path, text: str) -> ReplayPlan:
    file = folder / "plan.yaml"
    file.write_text(text, encoding="utf-8")
    return load_plan(file)


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "")
    assert plan == ReplayPlan()
    assert set(plan.parameters) == set(NODES)
    assert plan.truth == Truth()


def test_everything_that_a_plan_can_say(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text(
        "/**:\n  ros__parameters: {resolution: 0.2}\n"
        "/robot/mapper:\n  ros__parameters: {sensor_model: {hit: 0.8}}\n"
    )
    plan = plan_of(
        tmp_path,
        """
cameras:
  front: {color: /front/color, depth: /front/depth}
  rear/left: {camera_info: /rear/info}
clouds: [/lidar]
window: {start: 1.5, stop: 4}
patience: 0.5
detector: {score_threshold: 0.7, use_depth: true}
segmenter: false
mapper: robot.yaml
truth: {map: truth.bt}
""",
    )
    assert plan.cameras == {
        "front": CameraTopics("/front/color", "/front/depth"),
        "rear/left": CameraTopics(camera_info="/rear/info"),
    }
    assert (plan.clouds, plan.window_s, plan.patience_s) == (("/lidar",), (1.5, 4.0), 0.5)
    assert plan.required == {"detector", "mapper"}
    assert set(plan.parameters) == {"detector", "explainer", "mapper"}
    assert plan.parameters["detector"]["score_threshold"] == 0.7
    mapper = plan.parameters["mapper"]
    assert (mapper["resolution"], mapper["sensor_model.hit"]) == (0.2, 0.8)
    assert plan.truth.map == tmp_path / "truth.bt"


def test_the_values_of_a_plan_make_the_same_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "segmenter: false\nmapper: {resolution: 0.2}\nwindow: {start: 1}\n")
    told = plan.as_mapping()
    again = {name: told[name] for name in (*NODES, "patience")}
    again["window"] = {"start": told["window"]["start"]}
    found = plan_of(tmp_path, yaml.safe_dump(again))
    assert found.parameters == plan.parameters
    assert found.as_mapping() == told


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("camera: {}", ("camera",)),
        ("cameras: []", ("cameras", "with a name for each")),
        ("cameras: {front: {colr: /c}}", ("colr",)),
        ("cameras: {2nd: {color: /c}}", ("2nd", "begins with a letter")),
        ("cameras: {/front: {color: /c}}", ("/front", "begins with a letter")),
        ("cameras: {the front: {color: /c}}", ("the front", "letters")),
        ("window: {start: 3, stop: 2}", ("stop", "not after start")),
        ("window: {start: -1}", ("start",)),
        ("patience: soon", ("patience",)),
        ("detector: {score_treshold: 0.5}", ("detector", "did you mean score_threshold?")),
        ("detector: {score_threshold: 7}", ("detector", "score_threshold")),
        ("detector: 3", ("detector", "false")),
        ("mapper: nowhere.yaml", ("nowhere.yaml",)),
        ("detector: {model: a\n", ("plan.yaml",)),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        plan_of(tmp_path, text)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_a_ros_file_without_the_node(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text("/segmenter:\n  ros__parameters: {threads: 2}\n")
    with pytest.raises(ConfigError, match="no ros__parameters of a node 'mapper'"):
        plan_of(tmp_path, "mapper: robot.yaml")


def test_no_plan_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plan"):
        load_plan(tmp_path / "plan.yaml")
