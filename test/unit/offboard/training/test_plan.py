from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.training.optimisation import OptimisationConfig
from cnn_perception.offboard.training.plan import DataConfig, load_plan, parse_plan
from cnn_perception.settings import settings


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ([], "not a training plan"),
        ({}, "needs 'task:'"),
        ({"task": "detectoin"}, "task = 'detectoin': did you mean detection"),
        ({"task": "rooms", "optimizer": {}}, "unknown key optimizer: known are task"),
        ({"task": "rooms", "network": 3}, "network is 3: give a mapping"),
        ({"task": "rooms", "data": {"pth": "x"}}, "did you mean path"),
        ({"task": "rooms", "data": {3: "x"}}, r"unknown key data\.3: known are path"),
        (
            {"task": "rooms", "optimisation": {"batch": 0}},
            r"plan\.yaml: optimisation\.batch = 0: give a whole number, 1 to 65536",
        ),
        (
            {"task": "rooms", "optimisation": {"milestones": ["a"]}},
            r"milestones\[0\] = 'a': give a number",
        ),
    ],
)
def test_wrong_plans_are_refused(tree: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        parse_plan(tree, "plan.yaml")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"warmup": 10, "length": 10}, "warmup = 10 is not below length"),
        ({"schedule": "step"}, "needs some"),
        ({"milestones": [3]}, "the others take none"),
        ({"schedule": "step", "milestones": [5, 3]}, "rising"),
        ({"schedule": "step", "milestones": [0, 3]}, "above 0"),
        ({"nesterov": True}, "only with optimiser momentum"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        OptimisationConfig.from_mapping(values)


def test_file_that_is_no_yaml_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"plan\.yaml") as caught:
        load_plan(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_plan(tmp_path / "absent.yaml")


def test_changes_take_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("task: rooms\noptimisation: {batch: 8}\n", encoding="utf-8")
    changes = ["optimisation.batch=4", "network.default_boxes.scales=[0.1, 0.2]", "data.path=a=b"]
    plan = load_plan(path, changes)
    assert plan.optimisation.batch == 4
    assert plan.network == {"default_boxes": {"scales": [0.1, 0.2]}}
    assert plan.data.path == "a=b"
    assert parse_plan(plan.tree, "checkpoint") == plan


@pytest.mark.parametrize(
    "change", ["optimisation.batch", "=3", "optimisation..batch=3", "task.x=3", "a.b=[", "x=1"]
)
def test_changes_that_are_none_are_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("task: rooms\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        load_plan(path, [change])


def test_the_manual_describes_every_setting_and_names_plans_that_exist(repository: Path) -> None:
    text = (repository / "docs" / "training.md").read_text(encoding="utf-8")
    for section, config in (("data", DataConfig), ("optimisation", OptimisationConfig)):
        for known in settings(config):
            assert f"| `{section}.{known.name}` |" in text
            assert known.description in text
    plans = {repository / "config" / "training" / name for name in re.findall(r"\w+\.yaml", text)}
    plans.discard(repository / "config" / "training" / "model.yaml")
    assert len(plans) > 4 and all(path.is_file() for path in plans)
