"""Checkpoints: everything that it takes to go on exactly, or to export a network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.offboard.training.plan import TrainingPlan, parse_plan
from cnn_perception.offboard.training.task import Task
from cnn_perception.offboard.training.tasks import make_task

__all__ = ["Checkpoint", "check_same_plan", "load_checkpoint", "read_state", "write_state"]

_FREE = {
    "data.path",
    "data.broken",
    "optimisation.device",
    "optimisation.threads",
    "optimisation.workers",
    "optimisation.checkpoint_minutes",
    "optimisation.report_every",
}
"""Settings that a run may change when it goes on: they do not change what it has learnt so far, nor
what it learns from images that can be used."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run has made of its network, to be measured or exported.

    network: with averaged weights, on the CPU, in evaluation mode; figures: those measured with
    these weights, empty where none were.
    """

    plan: TrainingPlan
    labels: tuple[str, ...]
    task: Task
    network: nn.Module
    step: int
    figures: Mapping[str, float]


def load_checkpoint(path: Path) -> Checkpoint:
    """Return what a ``checkpoint.pt`` or ``best.pt`` of a run holds.

    Needed are the keys average, plan (a plan's tree) and labels. Raises ModelError for a file that
    is no checkpoint.
    """
    state = read_state(path)
    missing = [key for key in ("average", "plan", "labels") if key not in state]
    if missing:
        raise ModelError(f"{path} lacks {', '.join(missing)}: it is not of cnn-perception train")
    plan = parse_plan(state["plan"], str(path))
    labels = tuple(state["labels"])
    task = make_task(_without_start(plan), labels)
    network = task.build()
    try:
        network.load_state_dict(state["average"])
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit its own plan: {_first_line(error)}") from error
    return Checkpoint(
        plan, labels, task, network.eval(), state.get("step", 0), state.get("figures", {})
    )


def _without_start(plan: TrainingPlan) -> TrainingPlan:
    """Return a plan whose network needs no file or download that the run began with."""
    if "weights" not in plan.network:
        return plan
    return replace(plan, network={**plan.network, "weights": "none"})


def read_state(path: Path) -> dict[str, Any]:
    """Return the tree of a checkpoint, on the CPU; raises ModelError for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: give a checkpoint.pt or best.pt") from error
    except Exception as error:  # an unpickler of arbitrary bytes raises anything
        raise ModelError(f"{path} is not a readable checkpoint: {_first_line(error)}") from error
    if not isinstance(state, dict) or "average" not in state:
        raise ModelError(f"{path} lacks average: it is not of cnn-perception train")
    return state


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; a reader never sees half of one, nor does a power cut leave it.

    Raises ModelError where it cannot be written, and then the old one is still there.
    """
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # the latter: torch's own of a full disk
        partial.unlink(missing_ok=True)
        raise ModelError(f"{path} cannot be written: {_first_line(error)}") from error


def check_same_plan(old: TrainingPlan, new: TrainingPlan, path: Path) -> None:
    """Raise ConfigError for the first setting in which two plans differ; `path` holds the old."""
    before, after = dict(_flat(old)), dict(_flat(new))
    for key in [*after, *before]:
        first, second = before.get(key), after.get(key)
        if first != second and key not in _FREE:
            raise ConfigError(
                f"{key} = {second!r}, but the run in {path.parent} began with {first!r}: put that "
                "back, or begin another run with --start"
            )


def _flat(plan: TrainingPlan) -> Iterator[tuple[str, Any]]:
    """Yield all settings of a plan by dotted name, defaults included."""
    yield "task", plan.task
    for key, value in plan.network.items():
        yield f"network.{key}", value
    for section in ("data", "augmentation", "optimisation"):
        config = getattr(plan, section)
        for field in fields(config):
            value = getattr(config, field.name)
            yield (
                f"{section}.{field.name}",
                list(value) if isinstance(value, list | tuple) else value,
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
