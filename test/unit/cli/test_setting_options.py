"""Options that are settings: their names, defaults and ranges are those of the declarations."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cnn_perception.cli.main import app
from cnn_perception.config import (
    DetectorConfig,
    ExplainerConfig,
    MapperConfig,
    SegmenterConfig,
    SessionConfig,
)
from cnn_perception.offboard.explain_methods.optimisation_config import ImageOptimisationConfig
from cnn_perception.offboard.training.data_config import DataConfig
from cnn_perception.settings import Config, settings

OPTIONS: dict[str, dict[str, tuple[type[Config], str]]] = {
    "detect": {
        "score": (DetectorConfig, "score_threshold"),
        "iou": (DetectorConfig, "iou_threshold"),
        "most": (DetectorConfig, "max_detections"),
        "provider": (SessionConfig, "provider"),
        "threads": (SessionConfig, "threads"),
    },
    "segment": {"alpha": (SegmenterConfig, "overlay_alpha")},
    "explain": {
        "score": (ExplainerConfig, "score_threshold"),
        "most": (ExplainerConfig, "max_answers"),
        "alpha": (ExplainerConfig, "overlay_alpha"),
        "steps": (ImageOptimisationConfig, "steps"),
        "seed": (ImageOptimisationConfig, "seed"),
    },
    "invert": {
        "steps": (ImageOptimisationConfig, "steps"),
        "rate": (ImageOptimisationConfig, "rate"),
        "tv": (ImageOptimisationConfig, "tv"),
        "seed": (ImageOptimisationConfig, "seed"),
    },
    "map": {
        "resolution": (MapperConfig, "resolution"),
        "max_range": (MapperConfig, "max_range"),
        "min_range": (MapperConfig, "min_range"),
        "discretize": (MapperConfig, "discretize"),
        "engine": (MapperConfig, "engine"),
        "stride": (MapperConfig, "depth_stride"),
    },
    "evaluate": {"broken": (DataConfig, "broken")},
}
EVERY = [(command, name) for command, names in OPTIONS.items() for name in names]


def parameter(command: str, name: str) -> Any:
    group: Any = typer.main.get_command(app)
    found = group.commands[command]
    found = found.commands["default"] if command == "map" else found
    return next(each for each in found.params if each.name == name)


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_help_and_default_are_those_of_the_setting(command: str, name: str) -> None:
    config, setting = OPTIONS[command][name]
    known = next(each for each in settings(config) if each.name == setting)
    found = parameter(command, name)
    default = found.default
    assert (default[0] if isinstance(default, list | tuple) else default) == known.default
    assert known.description[1:] in found.help
    if known.choices is not None:
        assert all(choice in found.metavar for choice in known.choices)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("detect", "x.png", "--score", "1.5"), "--score"),
        (("detect", "x.png", "--provider", "gpu"), "--provider"),
        (("detect", "x.png", "--threads", "-1"), "--threads"),
        (("map", "bag", "--resolution", "0"), "--resolution"),
        (("map", "bag", "--engine", "voxle"), "--engine"),
        (("invert", "x.png", "--rate", "0.1", "--rate", "0"), "--rate"),
        (("evaluate", "model", "--broken", "ignore"), "--broken"),
    ],
)
def test_values_that_the_setting_cannot_have_are_refused(
    arguments: tuple[str, ...], option: str
) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output
