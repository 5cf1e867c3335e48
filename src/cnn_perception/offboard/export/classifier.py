"""Bundles of classification networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from cnn_perception.image.preprocess import InputSpec
from cnn_perception.offboard.export.bundle import About, describe, prepared, write_bundle
from cnn_perception.offboard.export.onnx_file import Compare, OnnxOptions, largest_difference
from cnn_perception.offboard.networks.fold import folded
from cnn_perception.types import UInt8Array

__all__ = ["export_classifier"]


def export_classifier(
    network: nn.Module,
    folder: Path,
    pictures: Sequence[UInt8Array],
    about: About,
    *,
    spec: InputSpec,
    labels: Sequence[str],
    options: OnnxOptions | None = None,
    compare: Compare = largest_difference,
    explain: bool = True,
) -> float:
    """Write a classifier as a ``class_logits`` bundle; see `write_bundle` for checks and result.

    network: normalised float32 (B, 3, H, W) -> logits float32 (B, labels), not folded. pictures:
    real ones, RGB uint8 (H, W, 3) of any size. explain: with an explain graph, unless the network
    has no feature maps. It holds the weights from the last ones on, of VGG nearly all.
    """
    output = {"format": "class_logits", "tensors": {"class_logits": "class_logits"}}
    return write_bundle(
        folder,
        folded(network),
        describe(about, "classification", spec, output, labels),
        prepared(spec, pictures),
        ["class_logits"],
        plan=about.plan,
        options=options,
        compare=compare,
        explain=() if explain else None,
    )
