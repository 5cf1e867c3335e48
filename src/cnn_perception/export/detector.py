"""Bundles of SSD networks: raw outputs, default boxes, and Grad-CAM of each level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from cnn_perception.detection.decode import SSD_VARIANCES
from cnn_perception.detection.default_boxes import DefaultBoxSpec
from cnn_perception.export.bundle import About, describe, prepared, write_bundle
from cnn_perception.export.onnx_file import Compare, OnnxOptions, largest_difference
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.networks.fold import folded
from cnn_perception.types import UInt8Array

__all__ = ["SSD_THRESHOLDS", "export_detector"]

SSD_THRESHOLDS = {"score": 0.5, "iou": 0.45}
"""Lowest score and largest overlap of a robot's answers (Liu et al. 2016 for the overlap)."""


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
    explain: bool = True,
) -> float:
    """Write an SSD network as an ``ssd_raw`` bundle; see `write_bundle` for checks and result.

    network: answers with `SsdOutputs`, not folded. pictures: real ones, RGB uint8 (H, W, 3) of any
    size. boxes: its default boxes. labels: without background. explain:
    with explain graphs, of the features of each level.
    """
    detector = folded(network)
    inputs = prepared(spec, pictures)
    output = {
        "format": "ssd_raw",
        "tensors": {"class_logits": "class_logits", "box_deltas": "box_deltas"},
        "default_boxes": _default_boxes(boxes),
        "variances": list(SSD_VARIANCES),
    }
    features = [f"feature_{level}" for level in range(len(boxes.feature_maps))]
    return write_bundle(
        folder,
        detector,
        describe(about, "detection", spec, output, labels, SSD_THRESHOLDS),
        inputs,
        ["class_logits", "box_deltas", *features],
        plan=about.plan,
        explain=features if explain else None,
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
