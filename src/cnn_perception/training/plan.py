"""What a training run is made of: one YAML file, checked, with unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cnn_perception.datasets.find import Task
from cnn_perception.errors import ConfigError
from cnn_perception.settings import Config, setting
from cnn_perception.training.augmentation import AugmentationConfig
from cnn_perception.training.optimisation import OptimisationConfig

__all__ = ["TASKS", "DataConfig", "TrainingPlan", "load_plan", "parse_plan"]

TASKS: tuple[Task, ...] = ("rooms", "detection", "segmentation", "classification")

_SECTIONS = ("network", "data", "augmentation", "optimisation")


@dataclass(frozen=True, slots=True)
class DataConfig(Config):
    """Which labelled images a network learns from, and on which it is measured meanwhile."""

    path: str = setting(
        "", "Folder (or COCO file) of the images; task rooms renders them where there is none"
    )
    train: str = setting("train", "Split to learn from; empty where there is only one")
    validation: str = setting("val", "Split to measure on; empty measures nothing")
    validation_images: int = setting(0, "Most images to measure on; 0 takes all", minimum=0)
    broken: str = setting(
        "error", "What to do about files that cannot be used", choices=("error", "skip")
    )
    rooms: int = setting(3000, "Task rooms: rooms to render", minimum=1, maximum=1_000_000)
    views: int = setting(4, "Task rooms: views of each room", minimum=1, maximum=1000)
    evaluation_rooms: int = setting(
        500, "Task rooms: further rooms, with one view, to measure on", minimum=1, maximum=100_000
    )


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that decides what comes out of a training run.

    network: settings that the task of this name reads; tree: the whole plan as plain values, which
    checkpoints keep and `parse_plan` takes.
    """

    task: Task
    network: Mapping[str, Any]
    data: DataConfig
    augmentation: AugmentationConfig
    optimisation: OptimisationConfig
    tree: Mapping[str, Any]


def load_plan(path: Path, changes: Sequence[str] = ()) -> TrainingPlan:
    """Return the plan that a YAML file describes; raises ConfigError naming what is wrong.

    changes: texts like ``optimisation.batch=4``, which take the place of what the file says.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as YAML: {text}") from error
    for change in changes:
        _change(tree, change)
    return parse_plan(tree, str(path))


def parse_plan(tree: Any, source: str) -> TrainingPlan:
    """Return the plan in a parsed YAML tree; `source` names it in errors."""
    if not isinstance(tree, dict) or "task" not in tree:
        raise ConfigError(
            f"{source} is not a training plan: it needs 'task:', one of {', '.join(TASKS)}"
        )
    if tree["task"] not in TASKS:
        raise ConfigError(f"{source}: task = {tree['task']!r}: choose one of {', '.join(TASKS)}")
    for name, section in tree.items():
        if name == "task":
            continue
        if name not in _SECTIONS:
            raise ConfigError(
                f"{source}: unknown section {name!r}: a plan has task, {', '.join(_SECTIONS)}"
            )
        if not isinstance(section, Mapping):
            raise ConfigError(f"{source}: {name} is not a mapping: write 'key: value' lines")
    return TrainingPlan(
        tree["task"],
        tree.get("network", {}),
        DataConfig.from_mapping(tree.get("data", {})),
        AugmentationConfig.from_mapping(tree.get("augmentation", {})),
        OptimisationConfig.from_mapping(tree.get("optimisation", {})),
        tree,
    )


def _change(tree: Any, change: str) -> None:
    """Set one value of a tree in place, from ``section.key=value``; the value is YAML."""
    path, separator, text = change.partition("=")
    keys = path.split(".")
    if not separator or not all(keys):
        raise ConfigError(f"--set {change}: write SECTION.KEY=VALUE, as optimisation.batch=4")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {change}: {text!r} is no YAML value") from error
    for key in keys[:-1]:
        tree = tree.setdefault(key, {}) if isinstance(tree, dict) else None
    if not isinstance(tree, dict):
        raise ConfigError(f"--set {change}: {'.'.join(keys[:-1])} is not a mapping in the plan")
    tree[keys[-1]] = value
