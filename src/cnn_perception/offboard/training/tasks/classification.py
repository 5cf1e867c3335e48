"""One class for a whole image, learnt by any classifier of torchvision or LeNet-5."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.metrics.classification import ClassificationMetric
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.export.classifier import export_classifier
from cnn_perception.offboard.export.onnx_file import OnnxOptions
from cnn_perception.offboard.networks.classifiers import ClassifierOptions, design_classifier
from cnn_perception.offboard.networks.normalisation import normalise
from cnn_perception.offboard.training.augmentation import Augmenter
from cnn_perception.offboard.training.inputs import input_batches
from cnn_perception.offboard.training.origin import about_trained
from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.offboard.training.task import Sample
from cnn_perception.settings import setting

__all__ = ["ClassLossConfig", "ClassificationTask"]


@dataclass(frozen=True, slots=True)
class ClassLossConfig(ClassifierOptions):
    """A classifier, and what the cross entropy asks of it."""

    label_smoothing: float = setting(
        0.0,
        "Share of certainty that is spread over all classes (Szegedy et al. 2016, section 7)",
        between=(0.0, 0.99),
    )


class ClassificationTask:
    """Teaches a network of `offboard.networks.classifiers` the classes of images.

    The plan's section ``network`` holds the settings of `ClassLossConfig`.
    Who learns from random crops is shown the middle of the picture afterwards, as is the custom on
    ImageNet; who learns from whole pictures, the whole picture.
    """

    metric = "top_1"

    def __init__(self, plan: TrainingPlan, labels: Sequence[str]) -> None:
        if len(labels) < 2:
            raise ConfigError(f"images of {len(labels)} classes: a classifier needs two or more")
        self.plan = plan
        self.labels = tuple(labels)
        self.config = plan.read_network(ClassLossConfig)
        self.design = design_classifier(self.config)
        width, height = self.design.size
        cropped = plan.augmentation.geometry == "resized_crop"
        self.input = InputSpec(
            "images",
            width,
            height,
            "rgb",
            "crop" if cropped else "stretch",
            *self.design.normalisation,
            shorter_side=self.design.shorter_side if cropped else None,
        )
        self._augmenter = Augmenter(plan.augmentation, self.design.size)

    def build(self) -> nn.Module:
        """Return the classifier, with its starting weights and a head of its own."""
        return self.design.build(len(self.labels))

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the last quarter of the layers."""
        return self.design.last_layers(network)

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the layer that answers."""
        return self.design.head(network)

    def sample(self, image: LabelledImage, rng: np.random.Generator) -> Sample:
        """Return images uint8 (H, W, 3) and labels, int64 of no dimension."""
        return {"images": self._augmenter(image, rng).color, "labels": np.int64(_label(image))}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the cross entropy."""
        logits = network(normalise(batch["images"], self.design.normalisation))
        smoothing = self.config.label_smoothing
        return {
            "class": functional.cross_entropy(
                logits.float(), batch["labels"], label_smoothing=smoothing
            )
        }

    @torch.no_grad()
    def measure(self, network: nn.Module, images: Iterable[LabelledImage]) -> dict[str, float]:
        """Return top-1 and top-5 accuracy."""
        metric = ClassificationMetric(len(self.labels))
        device = next(network.parameters()).device
        for group, _, inputs in input_batches(images, self.input, device):
            truth = np.array([_label(image) for image in group])
            metric.update(network(inputs).float().cpu().numpy(), truth)
        return metric.figures()

    def export(
        self,
        network: nn.Module,
        folder: Path,
        images: Sequence[LabelledImage],
        options: OnnxOptions | None = None,
    ) -> dict[Path, float]:
        """Write the classifier as a bundle."""
        difference = export_classifier(
            network,
            folder,
            [image.color for image in images],
            about_trained(
                self.plan,
                self.design.options.name,
                f"Tells {len(self.labels)} classes of pictures apart.",
            ),
            spec=self.input,
            labels=self.labels,
            options=options,
        )
        return {folder: difference}


def _label(image: LabelledImage) -> int:
    if image.label is None:
        raise DatasetError(f"{image.name} has no class: give a folder with a folder per class")
    return image.label
