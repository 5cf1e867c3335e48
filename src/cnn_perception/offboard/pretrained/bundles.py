"""The bundles that torchvision's networks become."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import get_model_weights
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.formats.torchvision import TorchvisionFormat
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.offboard.datasets.label_png import voc_palette
from cnn_perception.offboard.export.bundle import (
    About,
    describe,
    prepared,
    write_bundle,
    write_quality,
)
from cnn_perception.offboard.export.classifier import export_classifier
from cnn_perception.offboard.export.detector import export_detector
from cnn_perception.offboard.export.segmenter import export_segmenter
from cnn_perception.offboard.networks.fold import folded
from cnn_perception.offboard.networks.ssd import from_torchvision
from cnn_perception.offboard.pretrained.catalog import Published
from cnn_perception.offboard.pretrained.detections import answer_of_torchvision, detections_apart
from cnn_perception.offboard.pretrained.inputs import (
    SEGMENTER_SIZE,
    Size,
    checked_size,
    detector_size,
    input_spec,
)
from cnn_perception.offboard.pretrained.retinanet import RetinaNetDetector
from cnn_perception.offboard.pretrained.two_stage import TwoStageDetector
from cnn_perception.types import UInt8Array

__all__ = ["class_names", "relative_difference", "write_published"]

_KNOWS = {
    "detection": "Finds the 80 classes of COCO.",
    "segmentation": "Labels the 20 classes of Pascal VOC.",
    "classification": "Tells the 1000 classes of ImageNet apart.",
}
_LIMITS = (
    "Pictures are resized by OpenCV and, but for classifiers and SSD, always to the same size: "
    "answers differ slightly from those of torchvision's own transforms."
)
_TOLERANCE = 1e-3
_SCORE = 0.5


class _MaskLogits(nn.Module):
    """A segmenter of torchvision without its interpolation: logits at the network's stride."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.classifier = network.classifier

    def forward(self, images: Tensor) -> Tensor:
        maps = self.backbone(images)
        # LR-ASPP takes two maps, the others the last.
        logits: Tensor = self.classifier(maps.get("out", maps))
        return logits


def write_published(
    published: Published,
    network: nn.Module,
    folder: Path,
    pictures: Sequence[UInt8Array],
    size: Size | None = None,
    *,
    explain: bool = True,
) -> float:
    """Write a network of torchvision as a bundle; return how far it is from PyTorch, at most.

    pictures: RGB uint8 (H, W, 3) on which ONNX Runtime is held against PyTorch. size: of the input
    instead of the usual, for networks that take any. explain: with explain graphs. The result is
    relative to the largest logit, or for final detections what `detections_apart` says. Raises
    ModelError where the two disagree or nothing is found in the pictures, ConfigError for a size
    that cannot be.
    """
    weights = get_model_weights(published.name)[published.weights]
    labels = class_names(weights.meta["categories"], published.task)
    about = _about(published)
    if size is not None and (published.task == "classification" or isinstance(network, SSD)):
        raise ConfigError(f"{published.name} takes pictures of one size only: leave out --size")
    shared: dict[str, Any] = {
        "labels": labels,
        "compare": relative_difference,
        "explain": explain,
    }
    preset = weights.transforms()
    if isinstance(network, SSD):
        # Raw outputs, at the size that its default boxes are made for.
        raw = from_torchvision(network)
        width, height = network.transform.fixed_size
        spec = InputSpec("images", width, height, mean=raw.mean, std=raw.std)
        boxes = raw.default_boxes
        worst = export_detector(raw, folder, pictures, about, spec=spec, boxes=boxes, **shared)
    elif published.task == "detection":
        worst = _write_detector(network, folder, pictures, about, labels, size)
    elif published.task == "segmentation":
        # The interpolation of its logits is left to the robot.
        spec = input_spec(preset, checked_size(size or SEGMENTER_SIZE, 8), "letterbox")
        raw = _MaskLogits(network).eval()
        worst = export_segmenter(raw, folder, pictures, about, spec=spec, enlarge=None, **shared)
    else:
        (side,), (shorter,) = preset.crop_size, preset.resize_size
        spec = input_spec(preset, (side, side), "crop", shorter)
        worst = export_classifier(network, folder, pictures, about, spec=spec, **shared)
    quality = {"dataset": f"{published.measured_on}, as published"}
    write_quality(folder, {**quality, published.figure_name: published.figure})
    return worst


def relative_difference(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> float:
    """Return the largest difference of each output by its largest value, if that is above 1.

    The logits of deep networks reach tens, and so do their rounding errors.
    """
    return max(
        float(np.abs(have - want).max() / max(1.0, float(np.abs(want).max())))
        for have, want in zip(found, expected, strict=True)
    )


def class_names(categories: Sequence[str], task: str) -> list[str]:
    """Return torchvision's names as a bundle's: each once, a detector's without the background."""
    names = [f"unused-{i}" if name == "N/A" else name for i, name in enumerate(categories)]
    names[0] = names[0].strip("_")
    return names[1:] if task == "detection" else names


def _about(published: Published) -> About:
    """Return what a bundle says of its origin."""
    palette = voc_palette()[:21].tolist() if published.task == "segmentation" else None
    return About(
        description=f"{_KNOWS[published.task]} torchvision's {published.name}.",
        licence=f"{published.licence}; the data that it was trained on have terms of their own",
        source=published.url,
        version=published.weights,
        limits=_LIMITS,
        palette=palette,
    )


def _write_detector(
    network: FasterRCNN | RetinaNet,
    folder: Path,
    pictures: Sequence[UInt8Array],
    about: About,
    labels: Sequence[str],
    size: Size | None,
) -> float:
    """Write a detector whose answers are final, also held against torchvision's own code."""
    width, height = checked_size(size or detector_size(network.transform), 32)
    spec = input_spec(network.transform, (width, height), "letterbox")
    inputs = prepared(spec, pictures)
    form = RetinaNetDetector if isinstance(network, RetinaNet) else TwoStageDetector
    detector = form(network, height, width).eval()
    _check_detector(detector, network, inputs)
    output = TorchvisionFormat({role: role for role in TorchvisionFormat.shapes}, background=0)
    return write_bundle(
        folder,
        folded(detector),
        describe(about, "detection", spec, output.tree(), labels, {"score": _SCORE}),
        inputs,
        list(output.shapes),
        tolerance=_TOLERANCE,
        compare=detections_apart,
    )


def _check_detector(detector: nn.Module, network: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Raise ModelError unless a detector answers as torchvision's own, and answers at all."""
    count = 0
    for image in inputs:
        with torch.no_grad():
            found = [tensor.numpy() for tensor in detector(image)]
        expected = [tensor.numpy() for tensor in answer_of_torchvision(network, image)]
        apart = detections_apart(found, expected)
        if not apart <= _TOLERANCE:
            raise ModelError(
                f"the graph's detections differ from torchvision's by {apart:.2g}: give other "
                "pictures with --picture, or install torchvision 0.29, which this was made for"
            )
        count += len(expected[1])
    if not count:
        raise ModelError(
            "nothing is found in the pictures, so that nothing is proven: give some with --picture"
        )
