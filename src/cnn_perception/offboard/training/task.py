"""What a training run learns, told apart from how it is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from cnn_perception.image.preprocess import InputSpec
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.export.onnx_file import OnnxOptions

__all__ = ["Sample", "Task"]

Sample = Mapping[str, np.ndarray]
"""One image ready for a batch; "images" is uint8 (H, W, 3) RGB, the others are the task's own."""


class Task(Protocol):
    """A network, how an image becomes a sample of it, what is minimised and what is measured.

    The trainer drives it and knows neither boxes nor masks; a task knows no optimiser. `labels`
    are the names of what the network tells apart; `input` is how pictures are given to it; `metric`
    names the figure, of those that `measure` returns, by which the best checkpoint is chosen
    (larger is better).
    """

    labels: tuple[str, ...]
    input: InputSpec
    metric: str

    def build(self) -> nn.Module:
        """Return the network to be trained, with its starting weights."""

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the layers that fine-tuning of the last layers trains, the head among them."""

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the layers that answer: those that a new set of classes needs anew."""

    def sample(self, image: LabelledImage, rng: np.random.Generator) -> Sample:
        """Vary an image and return it with its targets; runs in the processes that load data."""

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms of the loss by name, weighted; their sum is minimised.

        batch: a batch of samples, on the network's device.
        """

    def measure(self, network: nn.Module, images: Iterable[LabelledImage]) -> dict[str, float]:
        """Return figures of a network in evaluation mode, as its bundle would have them."""

    def export(
        self,
        network: nn.Module,
        folder: Path,
        images: Sequence[LabelledImage],
        options: OnnxOptions | None = None,
    ) -> dict[Path, float]:
        """Write the network as a bundle, or several below `folder`, proven equal on `images`.

        Returns how far the answers of each bundle are from PyTorch's, at most, by its folder.
        Raises ModelError where ONNX Runtime and PyTorch disagree.
        """
