"""Endless shuffled, augmented batches for the training loop, made in a process of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from cnn_perception.datasets.rooms import ShardFolder
from cnn_perception.detection.default_boxes import default_boxes
from cnn_perception.errors import ConfigError
from cnn_perception.training.augmentation import Augmenter
from cnn_perception.training.config import TrainingPlan
from cnn_perception.training.matching import Matcher

__all__ = ["Batch", "batches", "endless_order"]

_REFRESH_SECONDS = 60.0


class Batch(NamedTuple):
    """images: uint8 (B, H, W, 3); masks: uint8 (B, H/4, W/4); classes: int64 (B, A); deltas:
    float32 (B, A, 4); pool: how many images there are to draw from."""

    images: Tensor
    masks: Tensor
    classes: Tensor
    deltas: Tensor
    pool: int


def endless_order(size: int, rng: np.random.Generator) -> Iterator[int]:
    """Yield indices below `size`, each once per round, every round in a new random order."""
    while True:
        yield from (int(index) for index in rng.permutation(size))


class _RoomStream(IterableDataset[Batch]):
    def __init__(self, folder: Path, plan: TrainingPlan, rank: int) -> None:
        self.folder = folder
        self.plan = plan
        self.rank = rank

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        plan = self.plan
        shards = ShardFolder(self.folder)
        if not len(shards):
            raise ConfigError(f"{self.folder} holds no train_*.npz: render some with --rooms")
        rng = np.random.default_rng([plan.optimisation.seed, self.rank])
        size = (plan.network.image_width, plan.network.image_height)
        augmenter = Augmenter(plan.augmentation, size)
        optimisation = plan.optimisation
        matcher = Matcher(
            default_boxes(plan.default_boxes), optimisation.match_iou, optimisation.ignore_iou
        )
        order = endless_order(len(shards), rng)
        looked = time.monotonic()
        while True:
            if time.monotonic() - looked > _REFRESH_SECONDS:
                looked = time.monotonic()
                if shards.refresh():
                    order = endless_order(len(shards), rng)
            yield self._batch(shards, order, augmenter, matcher, rng)

    def _batch(
        self,
        shards: ShardFolder,
        order: Iterator[int],
        augmenter: Augmenter,
        matcher: Matcher,
        rng: np.random.Generator,
    ) -> Batch:
        network = self.plan.network
        size = np.array([network.image_width, network.image_height] * 2, np.float32)
        images, masks, classes, deltas = [], [], [], []
        for _ in range(self.plan.optimisation.batch):
            image = augmenter(shards.image(next(order)), rng)
            targets = matcher(image.boxes / size, image.classes, image.difficult)
            images.append(image.color)
            masks.append(image.mask[2::4, 2::4])
            classes.append(targets.classes)
            deltas.append(targets.deltas)
        return Batch(
            torch.from_numpy(np.stack(images)),
            torch.from_numpy(np.stack(masks)),
            torch.from_numpy(np.stack(classes)),
            torch.from_numpy(np.stack(deltas)),
            len(shards),
        )


def batches(folder: Path, plan: TrainingPlan, rank: int = 0) -> Iterator[Batch]:
    """Return endless batches from the shards of a folder; new shards join within a minute.

    Processes of one training group give different `rank`s, and get different batches.

    Raises ConfigError (through the worker) when there is none.
    """
    loader = DataLoader(
        _RoomStream(folder, plan, rank),
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        # A forked child would inherit locks of the threads that OpenCV and ONNX Runtime may run.
        multiprocessing_context="spawn",
    )
    return iter(loader)
