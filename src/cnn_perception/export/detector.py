"""Bundles of SSD networks: raw outputs, default boxes, and Grad-CAM of each level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.detection.decode import SSD_VARIANCES
from cnn_perception.detection.default_boxes import DefaultBoxSpec
from cnn_perception.errors import ModelError
from cnn_perception.export.bundle import (
    EXPLAIN_TOLERANCE,
    About,
    ExplainHead,
    describe,
    prepared,
    write_bundle,
)
from cnn_perception.export.level_explanation import (
    LevelClasses,
    LevelExplanation,
    level_classes,
    reference_cam,
)
from cnn_perception.export.onnx_file import Compare, OnnxOptions, largest_difference
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.networks.fold import folded
from cnn_perception.types import UInt8Array

__all__ = ["SSD_THRESHOLDS", "export_detector"]

SSD_THRESHOLDS = {"score": 0.5, "iou": 0.45}
"""Lowest score and largest overlap of a robot's answers (Liu et al. 2016 for the overlap)."""

_CASES = 8
"""Random default boxes and classes on which an explain graph is proven, per image."""


class _RawOutputs(nn.Module):
    """Class logits and box offsets of a network, without the maps that they came from."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        answer = self.network(images)
        return answer.class_logits, answer.box_deltas


def export_detector(
    network: nn.Module,
    folder: Path,
    pictures: Sequence[UInt8Array],
    about: About,
    *,
    spec: InputSpec,
    boxes: DefaultBoxSpec,
    labels: Sequence[str],
    options: OnnxOptions | None = None,
    compare: Compare = largest_difference,
) -> float:
    """Write an SSD network as an ``ssd_raw`` bundle; see `write_bundle` for checks and result.

    network: answers with `SsdOutputs`, not folded. pictures: real ones, RGB uint8 (H, W, 3) of any
    size. boxes: its default boxes. labels: without background. SSDLite's predictors, the
    rooms networks' and torchvision's, get explain graphs.
    """
    detector = folded(network)
    inputs = prepared(spec, pictures)
    output = {
        "format": "ssd_raw",
        "tensors": {"class_logits": "class_logits", "box_deltas": "box_deltas"},
        "default_boxes": _default_boxes(boxes),
        "variances": list(SSD_VARIANCES),
    }
    explain = list(_explain_heads(detector, boxes, inputs))
    names = ["class_logits", "box_deltas", *(head.feature_map for head in explain)]
    if not explain:
        detector = _RawOutputs(detector).eval()
    return write_bundle(
        folder,
        detector,
        describe(about, "detection", spec, output, labels, SSD_THRESHOLDS),
        inputs,
        names,
        plan=about.plan,
        explain=explain,
        options=options,
        compare=compare,
    )


def _default_boxes(spec: DefaultBoxSpec) -> dict[str, object]:
    """Return model.yaml's default_boxes."""
    tree: dict[str, object] = {
        "feature_maps": [list(size) for size in spec.feature_maps],
        "scales": list(spec.scales),
        "aspect_ratios": [list(ratios) for ratios in spec.aspect_ratios],
    }
    if spec.steps is not None and spec.image_size is not None:
        tree["steps"] = list(spec.steps)
        tree["image_size"] = list(spec.image_size)
    return {**tree, "clip": spec.clip}


def _explain_heads(
    detector: nn.Module, spec: DefaultBoxSpec, inputs: Sequence[Tensor]
) -> Iterator[ExplainHead]:
    """Yield the explanation of each level, compared with the gradient of the head itself."""
    heads = level_classes(detector)
    with torch.no_grad():
        features = [detector(image).features for image in inputs] if heads else []
    first = 0
    for level, (head, count) in enumerate(zip(heads, spec.boxes_per_level, strict=False)):
        explanation = LevelExplanation(head, *spec.feature_maps[level]).eval()
        cases = _cases(explanation, head, [maps[level] for maps in features], level)
        yield ExplainHead(level, explanation, cases, f"feature_{level}", (first, count))
        first += count


def _cases(
    explanation: LevelExplanation, head: LevelClasses, features: Sequence[Tensor], level: int
) -> list[dict[str, Tensor]]:
    """Return random questions; raises ModelError where closed form and gradient disagree."""
    rng = np.random.default_rng(0)
    cases = []
    for feature in features:
        for _ in range(_CASES):
            anchor = int(rng.integers(explanation.cells * explanation.boxes))
            class_index = int(rng.integers(explanation.outputs))
            case = {
                "feature_map": feature,
                "anchor": torch.tensor([anchor]),
                "class_index": torch.tensor([class_index]),
            }
            wanted = reference_cam(head, feature, anchor, class_index)
            difference = float((explanation(*case.values()) - wanted).abs().max())
            if not difference <= EXPLAIN_TOLERANCE * max(1.0, float(wanted.abs().max())):
                raise ModelError(
                    f"Grad-CAM of level {level}, anchor {anchor}, class {class_index} is off the "
                    f"head's gradient by {difference:.2g}: the head is not what LevelExplanation "
                    "expects"
                )
            cases.append(case)
    return cases
