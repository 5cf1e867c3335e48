"""A label for every pixel, learnt by a fully convolutional network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cnn_perception.errors import ConfigError
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.export.onnx_file import OnnxOptions
from cnn_perception.offboard.export.segmenter import export_segmenter
from cnn_perception.offboard.networks.normalisation import IMAGENET, normalise
from cnn_perception.offboard.networks.segmenters import (
    SegmenterOptions,
    TorchvisionSegmenter,
    design_segmenter,
)
from cnn_perception.offboard.training.augmentation import Augmenter
from cnn_perception.offboard.training.inputs import input_batches
from cnn_perception.offboard.training.losses import dice_loss, mask_entropy
from cnn_perception.offboard.training.origin import about_trained
from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.offboard.training.task import Sample
from cnn_perception.settings import setting

__all__ = ["MaskLossConfig", "SegmentationTask"]


@dataclass(frozen=True, slots=True)
class MaskLossConfig(SegmenterOptions):
    """A network, and how the terms of its loss are weighed against the pixels' cross entropy."""

    dice_weight: float = setting(
        0.0, "Weight of the soft Dice loss, for small objects", between=(0.0, 100.0)
    )
    auxiliary_weight: float = setting(
        0.5, "Weight of the auxiliary head's loss", between=(0.0, 100.0)
    )


class SegmentationTask:
    """Teaches a network of `offboard.networks.segmenters` the masks of a data set.

    The plan's section ``network`` holds the settings of `MaskLossConfig`.
    labels: the names of the mask's values. Pixels of value 255 count nowhere.
    """

    metric = "miou"

    def __init__(self, plan: TrainingPlan, labels: Sequence[str]) -> None:
        if len(labels) < 2:
            raise ConfigError(f"masks with {len(labels)} labels: a segmenter needs two or more")
        self.plan = plan
        self.labels = tuple(labels)
        self.config = plan.read_network(MaskLossConfig)
        self.design = design_segmenter(self.config)
        width, height = self.design.size
        self.input = InputSpec("images", width, height, "rgb", "stretch", *IMAGENET)
        self._augmenter = Augmenter(plan.augmentation, self.design.size)

    def build(self) -> nn.Module:
        """Return the network, with its starting weights."""
        return self.design.build(len(self.labels))

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return everything above the classifier underneath."""
        return self.design.last_layers(network)

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the layers that give the labels' scores."""
        return self.design.head(network)

    def sample(self, image: LabelledImage, rng: np.random.Generator) -> Sample:
        """Return images uint8 (H, W, 3) and masks uint8 (H, W)."""
        varied = self._augmenter(image, rng)
        return {"images": varied.color, "masks": varied.mask}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss of the pixels, and those of Dice and the auxiliary head if wanted."""
        images, masks = normalise(batch["images"]), batch["masks"].long()
        auxiliary = None
        if isinstance(network, TorchvisionSegmenter):
            logits, auxiliary = network.with_auxiliary(images)
        else:
            logits = network(images)
        terms = {"mask": mask_entropy(logits.float(), masks)}
        if self.config.dice_weight:
            terms["dice"] = self.config.dice_weight * dice_loss(logits.float(), masks)
        if auxiliary is not None:
            weight = self.config.auxiliary_weight
            terms["auxiliary"] = weight * mask_entropy(auxiliary.float(), masks)
        return terms

    @torch.no_grad()
    def measure(self, network: nn.Module, images: Iterable[LabelledImage]) -> dict[str, float]:
        """Return mean IoU and accuracies at the images' own size."""
        metric = SegmentationMetric(len(self.labels))
        device = next(network.parameters()).device
        for group, placements, inputs in input_batches(images, self.input, device, 8):
            logits = functional.interpolate(
                network(inputs).float(), inputs.shape[2:], mode="bilinear", align_corners=False
            )
            found = logits.argmax(1).to(torch.uint8).cpu().numpy()
            for mask, placement, image in zip(found, placements, group, strict=True):
                metric.update(placement.map_to_source(mask, "nearest"), image.mask)
        return metric.figures()

    def export(
        self,
        network: nn.Module,
        folder: Path,
        images: Sequence[LabelledImage],
        options: OnnxOptions | None = None,
    ) -> dict[Path, float]:
        """Write the network as a bundle that answers with labels, or with coarse logits."""
        with torch.no_grad():
            device = next(network.parameters()).device
            probe = torch.zeros(1, 3, self.input.height, self.input.width, device=device)
            whole = network(probe).shape[2:] == probe.shape[2:]
        difference = export_segmenter(
            network,
            folder,
            [image.color for image in images],
            about_trained(
                self.plan,
                self.design.options.name,
                f"Tells {len(self.labels)} labels of pixels apart.",
            ),
            spec=self.input,
            labels=self.labels,
            enlarge=1 if whole else None,
            options=options,
        )
        return {folder: difference}
