"""Bundles of SSD networks: raw outputs, default boxes, and Grad-CAM of each level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from cnn_perception.formats.default_boxes import DefaultBoxSpec
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.offboard.export.bundle import About, describe, prepared, write_bundle
from cnn_perception.offboard.export.onnx_file import Compare, OnnxOptions, largest_difference
from cnn_perception.offboard.networks.fold import folded
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
    output = SsdRawFormat({role: role for role in SsdRawFormat.shapes}, boxes)
    features = [f"feature_{level}" for level in range(len(boxes.feature_maps))]
    return write_bundle(
        folder,
        detector,
        describe(about, "detection", spec, output.tree(), labels, SSD_THRESHOLDS),
        inputs,
        [*output.shapes, *features],
        plan=about.plan,
        explain=features if explain else None,
        options=options,
        compare=compare,
    )
