"""Objects in boxes, learnt by a network of the SSD family (Liu et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.detection.detector import MEASURING_SCORE, select
from cnn_perception.errors import ConfigError
from cnn_perception.formats.default_boxes import default_boxes
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.export.detector import export_detector
from cnn_perception.offboard.export.onnx_file import OnnxOptions
from cnn_perception.offboard.networks.detectors import DetectorOptions, design_detector
from cnn_perception.offboard.networks.normalisation import normalise
from cnn_perception.offboard.training.augmentation import Augmenter
from cnn_perception.offboard.training.inputs import input_batches
from cnn_perception.offboard.training.losses import multibox_loss
from cnn_perception.offboard.training.matching import Matcher
from cnn_perception.offboard.training.origin import about_trained
from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.offboard.training.task import Sample
from cnn_perception.settings import setting

__all__ = ["DetectionTask", "MultiboxConfig"]


@dataclass(frozen=True, slots=True)
class MultiboxConfig(DetectorOptions):
    """A detector, which of its default boxes learn what, and how its two losses are weighed."""

    match_iou: float = setting(
        0.5, "Overlap from which a default box is an object", between=(0.1, 0.9)
    )
    ignore_iou: float = setting(
        0.5,
        "Default boxes from this overlap up to match_iou, or with a difficult object or in a "
        "crowd, do not count",
        between=(0.1, 0.9),
    )
    negatives: float = setting(3.0, "Hard negatives per positive default box", between=(0.5, 100.0))
    box_weight: float = setting(1.0, "Weight of the offsets' loss", between=(0.0, 100.0))


class DetectionTask:
    """Teaches a detector of `offboard.networks.detectors` the boxes of a data set.

    The plan's section ``network`` holds the settings of `MultiboxConfig`.
    """

    metric = "map_50"

    def __init__(self, plan: TrainingPlan, labels: Sequence[str]) -> None:
        if not labels:
            raise ConfigError("the data have no classes of objects: a detector needs at least one")
        self.plan = plan
        self.labels = tuple(labels)
        self.config = plan.read_network(MultiboxConfig)
        self.design = design_detector(self.config)
        width, height = self.design.size
        self.input = InputSpec(
            "images", width, height, "rgb", "stretch", *self.design.normalisation
        )
        self.priors = default_boxes(self.design.default_boxes)
        self._matcher = Matcher(self.priors, self.config.match_iou, self.config.ignore_iou)
        self._augmenter = Augmenter(plan.augmentation, self.design.size)

    def build(self) -> nn.Module:
        """Return the detector, with its starting weights."""
        return self.design.build(len(self.labels))

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the predictors, and the levels above the classifier underneath."""
        return self.design.last_layers(network)

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the predictors."""
        return self.design.head(network)

    def sample(self, image: LabelledImage, rng: np.random.Generator) -> Sample:
        """Return images uint8 (H, W, 3), and the targets of the default boxes: classes int64 (A,)
        and deltas float32 (A, 4)."""
        varied = self._augmenter(image, rng)
        size = np.array(self.design.size * 2, np.float32)
        targets = self._matcher(varied.boxes / size, varied.classes, varied.difficult, varied.crowd)
        return {"images": varied.color, "classes": targets.classes, "deltas": targets.deltas}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of classes and box offsets."""
        outputs = network(normalise(batch["images"], self.design.normalisation))
        classes, offsets = multibox_loss(
            outputs.class_logits.float(),
            outputs.box_deltas.float(),
            batch["classes"],
            batch["deltas"],
            self.config.negatives,
        )
        return {"class": classes, "offset": self.config.box_weight * offsets}

    @torch.no_grad()
    def measure(self, network: nn.Module, images: Iterable[LabelledImage]) -> dict[str, float]:
        """Return VOC's and COCO's average precision and recall; see `DetectionMetric.figures`."""
        metric = DetectionMetric(len(self.labels))
        output = SsdRawFormat({}, self.design.default_boxes)
        device = next(network.parameters()).device
        for group, placements, inputs in input_batches(images, self.input, device):
            outputs = network(inputs)
            logits = outputs.class_logits.float().cpu().numpy()
            deltas = outputs.box_deltas.float().cpu().numpy()
            for k, (image, placement) in enumerate(zip(group, placements, strict=True)):
                candidates = output.candidates(logits[k], deltas[k], MEASURING_SCORE)
                found = select(candidates, placement, 0.45, 100)
                metric.update(
                    found, image.boxes, image.classes, image.difficult, image.crowd, image.areas
                )
        return metric.figures()

    def export(
        self,
        network: nn.Module,
        folder: Path,
        images: Sequence[LabelledImage],
        options: OnnxOptions | None = None,
    ) -> dict[Path, float]:
        """Write the detector as a bundle of raw outputs."""
        difference = export_detector(
            network,
            folder,
            [image.color for image in images],
            about_trained(
                self.plan, self.design.options.name, f"Finds {len(self.labels)} kinds of objects."
            ),
            spec=self.input,
            boxes=self.design.default_boxes,
            labels=self.labels,
            options=options,
        )
        return {folder: difference}
