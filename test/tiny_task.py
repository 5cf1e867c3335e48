"""A task that is learnt in seconds: is the square in the picture bright or dark?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.errors import DatasetError
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.training.plan import TrainingPlan, parse_plan
from cnn_perception.offboard.training.task import Sample

SIZE = 16


class Squares(Dataset):
    """Bright (1) and dark (0) squares on noise, made when asked for; some may be broken."""

    def __init__(self, count: int, broken: Sequence[int] = (), action: str = "raise") -> None:
        names = [f"{index:03d}.png" for index in range(count)]
        super().__init__(names, ("dark", "bright"), "skip" if action == "skip" else "raise")
        self.unusable = set(broken)

    def _read(self, index: int) -> LabelledImage:
        if index in self.unusable:
            raise DatasetError(f"{self.names[index]} is broken: mend it")
        rng = np.random.default_rng(index)
        color = rng.integers(80, 170, (SIZE, SIZE, 3)).astype(np.uint8)
        x, y = rng.integers(0, SIZE - 8, 2)
        color[y : y + 8, x : x + 8] = 230 if index % 2 else 20
        return LabelledImage(
            color,
            np.full((SIZE, SIZE), 255, np.uint8),
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, bool),
            label=index % 2,
            name=self.names[index],
        )


class TinyTask:
    """A trunk with normalisation and dropout, and a head."""

    metric = "accuracy"
    input = InputSpec("images", SIZE, SIZE)

    def __init__(self, labels: Sequence[str] = ("dark", "bright")) -> None:
        self.labels = tuple(labels)

    def build(self) -> nn.Sequential:
        trunk = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2)
        )
        last = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        pool = nn.Sequential(nn.AdaptiveMaxPool2d(2), nn.Flatten())
        return nn.Sequential(trunk, last, pool, nn.Linear(24, len(self.labels)))

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        assert isinstance(network, nn.Sequential)
        return [network[1], network[3]]

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        assert isinstance(network, nn.Sequential)
        return [network[3]]

    def sample(self, image: LabelledImage, rng: np.random.Generator) -> Sample:
        noise = rng.integers(0, 20, image.color.shape)
        color = np.clip(image.color.astype(int) + noise, 0, 255).astype(np.uint8)
        return {"images": color, "labels": np.array(image.label, np.int64)}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        logits = network(_inputs(batch["images"])).float()
        return {
            "class": nn.functional.cross_entropy(logits, batch["labels"]),
            "size": 1e-3 * logits.square().mean(),
        }

    def measure(self, network: nn.Module, images: Iterable[LabelledImage]) -> dict[str, float]:
        right = []
        for image in images:
            answer = network(_inputs(torch.from_numpy(image.color[None]))).argmax()
            right.append(int(answer) == image.label)
        return {"accuracy": float(np.mean(right)), "images": float(len(right))}

    def export(self, network: nn.Module, folder: Path, images: Sequence[LabelledImage]) -> None:
        raise NotImplementedError


class NamedSamples(TinyTask):
    """Samples are the image's index and a random number."""

    def sample(self, image: LabelledImage, rng: np.random.Generator) -> Sample:
        return {"index": np.array(int(str(image.name)[:3])), "random": np.array(rng.random())}


def _inputs(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 128 - 1


def tiny_plan(**optimisation: object) -> TrainingPlan:
    settings = {
        "length": 12,
        "batch": 8,
        "learning_rate": 0.01,
        "threads": 1,
        "workers": 0,
        "device": "cpu",
        "ema_decay": 0.8,
        "report_every": 4,
        **optimisation,
    }
    return parse_plan({"task": "classification", "optimisation": settings}, "test")
