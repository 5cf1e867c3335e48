"""Boxes and masks of simulated rooms, learnt at once by the network behind both shipped bundles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cnn_perception.detection.detector import MEASURING_SCORE, select
from cnn_perception.errors import ConfigError
from cnn_perception.formats.default_boxes import default_boxes
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.export.bundle import About
from cnn_perception.offboard.export.detector import export_detector
from cnn_perception.offboard.export.onnx_file import OnnxOptions
from cnn_perception.offboard.export.segmenter import export_segmenter
from cnn_perception.offboard.networks.normalisation import IMAGENET, normalise
from cnn_perception.offboard.networks.rooms import RoomsNetwork
from cnn_perception.offboard.simulation.labels import MASK_LABELS, MASK_PALETTE, OBJECT_CLASSES
from cnn_perception.offboard.training.augmentation import Augmenter
from cnn_perception.offboard.training.inputs import input_batches
from cnn_perception.offboard.training.losses import dice_loss, mask_entropy, multibox_loss
from cnn_perception.offboard.training.matching import Matcher
from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.offboard.training.task import Sample
from cnn_perception.offboard.training.tasks.rooms_config import RoomsConfig

__all__ = ["RoomsTask"]

_ENLARGE = 2
"""How much the segmenter's graph enlarges its logits, of stride 4, before it takes the best."""

_LIMITS = "Trained on simulated rooms alone: of real rooms it sees part, and takes some for others."


class RoomsTask:
    """Trains `RoomsNetwork`; its two heads become the bundles rooms_ssdlite and rooms_fcn."""

    metric = "score"

    def __init__(self, plan: TrainingPlan, labels: Sequence[str] = OBJECT_CLASSES) -> None:
        if tuple(labels) != OBJECT_CLASSES:
            raise ConfigError(
                f"task rooms knows the objects of simulated rooms, not {', '.join(labels)}: choose "
                "task detection or segmentation for data of your own"
            )
        self.labels = OBJECT_CLASSES
        self.plan = plan
        self.config = plan.read_network(RoomsConfig)
        self.boxes = self.config.boxes
        self.size = (self.config.image_width, self.config.image_height)
        self.input = InputSpec("images", *self.size, mean=IMAGENET.mean, std=IMAGENET.std)
        self.priors = default_boxes(self.boxes)
        self._matcher = Matcher(self.priors, self.config.match_iou, self.config.ignore_iou)
        self._augmenter = Augmenter(plan.augmentation, self.size)

    def build(self) -> RoomsNetwork:
        """Return the network with random weights."""
        return RoomsNetwork(
            self.boxes,
            len(OBJECT_CLASSES),
            len(MASK_LABELS),
            width=self.config.width,
            box_width=self.config.box_width,
            mask_width=self.config.mask_width,
        )

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return both heads with their pyramids: everything above the trunk."""
        return [_rooms(network).boxes, _rooms(network).masks]

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return what answers: the predictors of boxes and the scores of pixels."""
        return [_rooms(network).boxes.heads, _rooms(network).masks.score]

    def sample(self, image: LabelledImage, rng: np.random.Generator) -> Sample:
        """Return images uint8 (H, W, 3), classes int64 (A,), deltas float32 (A, 4) of the default
        boxes, and masks uint8 at `mask_stride`."""
        varied = self._augmenter(image, rng)
        size = np.array(self.size * 2, np.float32)
        targets = self._matcher(varied.boxes / size, varied.classes, varied.difficult)
        stride = self.config.mask_stride
        return {
            "images": varied.color,
            "masks": varied.mask[stride // 2 :: stride, stride // 2 :: stride],
            "classes": targets.classes,
            "deltas": targets.deltas,
        }

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of classes, box offsets and masks."""
        outputs = network(normalise(batch["images"]))
        classes, offsets = multibox_loss(
            outputs.boxes.class_logits.float(),
            outputs.boxes.box_deltas.float(),
            batch["classes"],
            batch["deltas"],
            self.config.negatives,
            self.config.offset_beta,
        )
        logits, masks = outputs.mask_logits.float(), batch["masks"].long()
        box_weight, mask_weight = self.config.box_weight, self.config.mask_weight
        return {
            "class": box_weight * classes,
            "offset": box_weight * offsets,
            "mask": mask_weight * mask_entropy(logits, masks),
            "dice": mask_weight * dice_loss(logits, masks),
        }

    @torch.no_grad()
    def measure(self, network: nn.Module, images: Iterable[LabelledImage]) -> dict[str, float]:
        """Return figures of boxes and masks; the score is the mean of map_50 and miou."""
        boxes, masks = DetectionMetric(len(OBJECT_CLASSES)), SegmentationMetric(len(MASK_LABELS))
        output = SsdRawFormat({}, self.boxes)
        device = next(network.parameters()).device
        for group, placements, inputs in input_batches(images, self.input, device):
            outputs = network(inputs)
            logits = outputs.boxes.class_logits.cpu().numpy()
            deltas = outputs.boxes.box_deltas.cpu().numpy()
            scores = functional.interpolate(
                outputs.mask_logits,
                scale_factor=float(_ENLARGE),
                mode="bilinear",
                align_corners=False,
            )
            labels = scores.argmax(1).to(torch.uint8).cpu().numpy()
            for k, (image, placement) in enumerate(zip(group, placements, strict=True)):
                candidates = output.candidates(logits[k], deltas[k], MEASURING_SCORE)
                found = select(candidates, placement, 0.45, 100)
                boxes.update(found, image.boxes, image.classes, image.difficult)
                masks.update(placement.map_to_source(labels[k], "nearest"), image.mask)
        figures = {**boxes.figures(), **masks.figures()}
        return {"score": (figures["map_50"] + figures["miou"]) / 2, **figures}

    def export(
        self,
        network: nn.Module,
        folder: Path,
        images: Sequence[LabelledImage],
        options: OnnxOptions | None = None,
    ) -> dict[Path, float]:
        """Write rooms_ssdlite and rooms_fcn below a folder."""
        pictures = [image.color for image in images]
        trunk = f"MobileNetV2 (width {self.config.width:g})"
        objects = f"{len(OBJECT_CLASSES)} kinds of objects in simulated rooms"
        detector, segmenter = folder / "rooms_ssdlite", folder / "rooms_fcn"
        first = export_detector(
            _rooms(network).detector(),
            detector,
            pictures,
            self._about(
                f"Finds {objects}. SSDLite on {trunk} with a light feature pyramid.",
                MASK_PALETTE[-len(OBJECT_CLASSES) :].tolist(),
            ),
            spec=self.input,
            boxes=self.boxes,
            labels=OBJECT_CLASSES,
            options=options,
        )
        second = export_segmenter(
            _rooms(network).segmenter(),
            segmenter,
            pictures,
            self._about(
                f"Labels floor, wall and {objects}. FCN with skip connections on {trunk}.",
                MASK_PALETTE.tolist(),
            ),
            spec=self.input,
            labels=MASK_LABELS,
            enlarge=_ENLARGE,
            options=options,
        )
        return {detector: first, segmenter: second}

    def _about(self, description: str, palette: list[list[int]]) -> About:
        return About(
            description,
            licence="Apache-2.0",
            source="cnn-perception train config/training/rooms.yaml",
            version="0.2.0",
            limits=_LIMITS,
            plan=self.plan.tree,
            palette=palette,
        )


def _rooms(network: nn.Module) -> RoomsNetwork:
    assert isinstance(network, RoomsNetwork)
    return network
