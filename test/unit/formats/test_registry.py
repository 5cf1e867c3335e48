"""The list of output formats: each module one class, and what is written is what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import cnn_perception.formats
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.formats.default_boxes import DefaultBoxSpec
from cnn_perception.formats.format import DetectionFormat, OutputFormat
from cnn_perception.settings import settings

SHARED = {"__init__", "default_boxes", "format"}

VALUES: dict[str, Any] = {
    "background": 2,
    "default_boxes": DefaultBoxSpec(((3, 4), (2, 2)), (0.1, 0.3, 0.6), ((2.0,), (2.0, 3.0))),
    "variances": (0.2, 0.2, 0.5, 0.5),
}


def test_each_module_is_one_format() -> None:
    folder = Path(cnn_perception.formats.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - SHARED == set(OUTPUT_FORMATS)
    for name, form in OUTPUT_FORMATS.items():
        assert form.__module__ == f"cnn_perception.formats.{name}"
        assert form.task in ("detection", "segmentation", "classification")


@pytest.mark.parametrize("name", OUTPUT_FORMATS)
@pytest.mark.parametrize("every_key", [False, True])
def test_what_is_written_is_read_again(name: str, every_key: bool) -> None:
    form = OUTPUT_FORMATS[name]
    keys = [known.name for known in settings(form) if known.name != "tensors"]
    given = {key: VALUES[key] for key in keys if every_key or key == "default_boxes"}
    output = form({role: f"{role}_0" for role in form.shapes}, **given)
    tree = yaml.safe_load(yaml.safe_dump(output.tree()))
    again = OutputFormat.from_mapping(tree)
    assert tree["format"] == name
    assert vars(again) == vars(output)


def test_steps_of_default_boxes_are_written_too() -> None:
    boxes = DefaultBoxSpec(
        ((2, 2),), (0.1, 0.3), ((2.0,),), steps=(16.0,), image_size=(32, 32), clip=False
    )
    form = OUTPUT_FORMATS["ssd_raw"]
    tree = form({role: role for role in form.shapes}, default_boxes=boxes).tree()
    assert vars(OutputFormat.from_mapping(tree))["default_boxes"] == boxes


@pytest.mark.parametrize("name", OUTPUT_FORMATS)
def test_what_is_explained_has_scores_of_all_classes(name: str) -> None:
    form = OUTPUT_FORMATS[name]
    if issubclass(form, DetectionFormat):
        assert form.is_explained == (form.class_axes is not None)
        assert form.class_axes is None or form.class_axes.role in form.shapes
