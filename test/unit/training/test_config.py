from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.training.config import load_plan, parse_plan

BOXES = {"scales": [0.1, 0.3, 0.6, 0.9], "aspect_ratios": [[2], [2, 3], [2]]}


def test_shipped_plan_is_valid(repository: Path) -> None:
    plan = load_plan(repository / "config" / "training" / "rooms.yaml")
    assert plan.default_boxes.feature_maps == ((24, 32), (12, 16), (6, 8), (3, 4), (2, 2))


def test_maps_follow_from_the_image() -> None:
    plan = parse_plan({"default_boxes": BOXES, "network": {"image_width": 320}}, "plan")
    assert plan.default_boxes.feature_maps == ((24, 40), (12, 20), (6, 10))


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ([], "not a training plan"),
        ({}, "needs default_boxes"),
        ({"default_boxes": BOXES, "optimizer": {}}, "not a training plan"),
        ({"default_boxes": BOXES, "network": 3}, "network is not a mapping"),
        ({"default_boxes": BOXES, "network": {"widht": 1.0}}, "did you mean width"),
        ({"default_boxes": BOXES, "network": {"image_width": 250}}, "multiples of 32"),
        ({"default_boxes": {"scales": [1]}}, "give scales and aspect_ratios"),
        ({"default_boxes": {**BOXES, "scales": ["big"]}}, "not lists of numbers"),
        ({"default_boxes": {**BOXES, "scales": [0.1, 0.2]}}, "need 4"),
        ({"default_boxes": BOXES, "optimisation": {"batch": 0}}, "below the minimum"),
    ],
)
def test_wrong_plans_are_refused(tree: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        parse_plan(tree, "plan.yaml")


def test_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"plan\.yaml"):
        load_plan(path)
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_plan(tmp_path / "absent.yaml")
