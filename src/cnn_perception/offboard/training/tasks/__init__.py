"""What can be learnt: a module per task, loaded when a plan names it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.offboard.training.task import Task

__all__ = ["make_task"]

_CLASSES = {
    "rooms": "RoomsTask",
    "detection": "DetectionTask",
    "segmentation": "SegmentationTask",
    "classification": "ClassificationTask",
}


def make_task(plan: TrainingPlan, labels: Sequence[str]) -> Task:
    """Return the task of a plan, made as ``<Name>Task(plan, labels)``.

    labels: names of what the network tells apart, those of the data: classes of objects or of
    images, or, for segmentation, the names of the mask's values with the background.

    Raises ConfigError for settings of the network that the task does not know, and for labels that
    it cannot learn.
    """
    module = import_module(f"{__name__}.{plan.task}")
    task: Task = getattr(module, _CLASSES[plan.task])(plan, tuple(labels))
    return task
