"""Bundles of segmentation networks: labels, or raw logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnn_perception.image.preprocess import InputSpec
from cnn_perception.offboard.export.bundle import About, describe, prepared, write_bundle
from cnn_perception.offboard.export.onnx_file import Compare, OnnxOptions, largest_difference
from cnn_perception.offboard.networks.fold import folded
from cnn_perception.types import UInt8Array

__all__ = ["MaskIndex", "export_segmenter"]


class MaskIndex(nn.Module):
    """A segmenter that answers with labels, and with the logits that they come from.

    Labels are uint8 (B, h, w), int32 from 256 labels on, at `enlarge` times the resolution of the
    logits float32 (B, labels, ...).
    """

    def __init__(self, network: nn.Module, enlarge: int) -> None:
        super().__init__()
        self.network = network
        self.enlarge = enlarge

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = self.network(images)
        enlarged = logits
        if self.enlarge > 1:
            enlarged = functional.interpolate(
                logits, scale_factor=float(self.enlarge), mode="bilinear", align_corners=False
            )
        dtype = torch.uint8 if logits.shape[1] <= 256 else torch.int32
        return enlarged.argmax(1).to(dtype), logits


def export_segmenter(
    network: nn.Module,
    folder: Path,
    pictures: Sequence[UInt8Array],
    about: About,
    *,
    spec: InputSpec,
    labels: Sequence[str],
    enlarge: int | None = 1,
    options: OnnxOptions | None = None,
    compare: Compare = largest_difference,
    explain: bool = True,
) -> float:
    """Write a segmenter as a ``mask_index`` or ``mask_logits`` bundle; see `write_bundle`.

    network: normalised float32 (B, 3, H, W) -> logits float32 (B, labels, h, w), not folded.
    pictures: real ones, RGB uint8 (H, W, 3) of any size. enlarge: how much the graph enlarges the
    logits before it takes the best label; None leaves that to the robot (``mask_logits``). The
    logits are compared with PyTorch's in either case: labels alone would hide a difference.
    explain: with an explain graph of the last coarsest maps.
    """
    segmenter: nn.Module = folded(network)
    names = ["mask_logits"]
    proof_only: list[str] = []
    if enlarge is not None:
        segmenter = MaskIndex(segmenter, enlarge).eval()
        names, proof_only = ["mask_index", "mask_logits"], ["mask_logits"]
    output = {"format": names[0], "tensors": {names[0]: names[0]}}
    return write_bundle(
        folder,
        segmenter,
        describe(about, "segmentation", spec, output, labels),
        prepared(spec, pictures),
        names,
        plan=about.plan,
        proof_only=proof_only,
        options=options,
        compare=compare,
        explain=() if explain else None,
    )
