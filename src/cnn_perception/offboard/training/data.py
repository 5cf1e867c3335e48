"""The labelled images of a plan."""

from __future__ import annotations

import os
from pathlib import Path

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.offboard.datasets.dataset import Broken, Dataset
from cnn_perception.offboard.datasets.find import open_dataset
from cnn_perception.offboard.datasets.rooms import EVALUATION_SEED, RenderedRooms, write_shards
from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.offboard.training.tasks.rooms_config import RoomsConfig

__all__ = ["data_labels", "open_data", "prepare_data"]


def prepare_data(plan: TrainingPlan) -> None:
    """Render the rooms of a plan into its folder, unless they are there; by one process per core.

    Other data are there or are not.
    """
    if plan.task == "rooms" and plan.data.path:
        config = plan.read_network(RoomsConfig)
        size = (config.image_width, config.image_height)
        data = plan.data
        folder, cores = Path(data.path), os.cpu_count() or 1
        write_shards(folder, data.rooms, data.views, size, data.evaluation_rooms, cores)


def open_data(plan: TrainingPlan) -> tuple[Dataset, Dataset | None]:
    """Return the images to learn from and, unless the plan wants none, those to measure on.

    Raises ConfigError without a path, and DatasetError where the two tell other things apart.
    """
    data = plan.data
    if not data.path:
        if plan.task != "rooms":
            raise ConfigError("no data.path in the plan: give the folder of the images with --data")
        validation = RenderedRooms(EVALUATION_SEED, data.evaluation_rooms)
        return RenderedRooms(0, data.rooms, data.views), validation if data.validation else None
    broken: Broken = "raise" if data.broken == "error" else "skip"
    path = Path(data.path)
    train = open_dataset(path, plan.task, data.train or None, broken=broken)
    if not data.validation:
        return train, None
    others = open_dataset(path, plan.task, data.validation, broken=broken)
    if data_labels(plan, train) != data_labels(plan, others):
        raise DatasetError(
            f"{path}: {data.train} and {data.validation} have other classes: "
            f"{', '.join(data_labels(plan, train))} and {', '.join(data_labels(plan, others))}"
        )
    return train, others


def data_labels(plan: TrainingPlan, data: Dataset) -> tuple[str, ...]:
    """Return the names of what there is to be told apart."""
    return data.mask_labels if plan.task == "segmentation" else data.labels
