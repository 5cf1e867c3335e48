"""What a training run is made of: one YAML file, checked, with unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.datasets.find import Task
from cnn_perception.offboard.training.augmentation import AugmentationConfig
from cnn_perception.offboard.training.data_config import DataConfig
from cnn_perception.offboard.training.optimisation import OptimisationConfig
from cnn_perception.settings import REQUIRED, Config, SettingError, setting
from cnn_perception.settings.files import parse, read_yaml

__all__ = ["TASKS", "DataConfig", "TrainingPlan", "load_plan", "parse_plan"]

TASKS: tuple[Task, ...] = ("rooms", "detection", "segmentation", "classification")

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class TrainingPlan(Config):
    """Everything that decides what comes out of a training run.

    tree: the whole plan as plain values, which checkpoints keep and `parse_plan` takes.
    """

    task: Task = setting(REQUIRED, "What is learnt")
    network: Mapping[str, Any] = setting({}, "The network: settings that the task reads")
    data: DataConfig = setting(DataConfig(), "The images to learn from and to measure on")
    augmentation: AugmentationConfig = setting(AugmentationConfig(), "How images are varied")
    optimisation: OptimisationConfig = setting(
        OptimisationConfig(), "How long, how fast and how precisely the network learns"
    )
    tree: Mapping[str, Any] = field(default_factory=dict)

    def read_network(self, config: type[C]) -> C:
        """Return the network's settings; raises ConfigError for those that it does not have."""
        try:
            return config.from_mapping(self.network)
        except SettingError as error:
            raise error.below("network") from error


def load_plan(path: Path, changes: Sequence[str] = ()) -> TrainingPlan:
    """Return the plan that a YAML file describes; raises ConfigError naming what is wrong.

    changes: texts like ``optimisation.batch=4``, which take the place of what the file says.
    """
    tree = read_yaml(path)
    for change in changes:
        _change(tree, change)
    return parse_plan(tree, str(path))


def parse_plan(tree: Any, source: str) -> TrainingPlan:
    """Return the plan in a parsed YAML tree; `source` names it in errors."""
    if not isinstance(tree, dict) or "task" not in tree:
        raise ConfigError(
            f"{source} is not a training plan: it needs 'task:', one of {', '.join(TASKS)}"
        )
    return replace(parse(tree, TrainingPlan, Path(source)), tree=tree)


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
