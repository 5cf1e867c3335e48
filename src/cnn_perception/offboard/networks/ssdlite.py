"""SSDLite with a light feature pyramid: boxes from MobileNetV2 maps (Sandler et al. 2018)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.formats.default_boxes import DefaultBoxSpec
from cnn_perception.offboard.networks.layers import lateral, separable, upsample_to
from cnn_perception.offboard.networks.mobilenet_v2 import MobileNetV2Trunk, Taps

__all__ = ["LevelHead", "SsdLite", "SsdLiteHead", "SsdOutputs"]

_FUSED_LEVELS = 3
"""Levels at strides 8, 16 and 32 come from the trunk; the others from stride-2 blocks above it."""


class SsdOutputs(NamedTuple):
    """What the detector says of a batch.

    class_logits: float32 (B, A, C + 1), background first; box_deltas: float32 (B, A, 4), offsets
    from the default boxes divided by the variances; features: the map of each level that its head
    reads, float32 (B, F, rows, columns).
    """

    class_logits: Tensor
    box_deltas: Tensor
    features: tuple[Tensor, ...]


class LevelHead(nn.Module):
    """SSDLite's predictor of one level: a shared depthwise 3x3, then a 1x1 for classes and boxes.

    Input float32 (B, F, rows, columns); output class logits (B, rows * columns * boxes, C + 1) and
    offsets (B, rows * columns * boxes, 4), in the order of `default_boxes`.
    """

    def __init__(self, channels: int, boxes: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(inplace=True),
        )
        self.classes = nn.Conv2d(channels, boxes * outputs, 1)
        self.offsets = nn.Conv2d(channels, boxes * 4, 1)
        for layer in (self.classes, self.offsets):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        # Almost every box is background: starting from that prior spares the first epochs.
        with torch.no_grad():
            self.classes.bias.view(boxes, outputs)[:, 0] = math.log(0.9 / 0.1 * (outputs - 1))

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        batch = feature.shape[0]
        x = self.spatial(feature)
        logits = self.classes(x).permute(0, 2, 3, 1).reshape(batch, -1, self.outputs)
        deltas = self.offsets(x).permute(0, 2, 3, 1).reshape(batch, -1, 4)
        return logits, deltas


class SsdLiteHead(nn.Module):
    """Feature pyramid and predictors on top of a trunk's taps.

    A top-down path (Lin et al. 2017, in TensorFlow's "FPNLite" form) brings the meaning of coarse
    maps to the stride-8 map, where small objects are found. `classes` counts objects, without
    background. Raises ConfigError for fewer than three levels.
    """

    def __init__(
        self, taps: tuple[int, int, int, int], classes: int, spec: DefaultBoxSpec, width: int
    ) -> None:
        super().__init__()
        levels = len(spec.feature_maps)
        if levels < _FUSED_LEVELS:
            raise ConfigError(f"SSDLite with {levels} levels: give at least {_FUSED_LEVELS}")
        self.laterals = nn.ModuleList(lateral(channels, width) for channels in taps[1:])
        self.smooth = nn.ModuleList(separable(width, width) for _ in range(_FUSED_LEVELS))
        self.above = nn.ModuleList(
            separable(width, width, stride=2) for _ in range(levels - _FUSED_LEVELS)
        )
        self.heads = nn.ModuleList(
            LevelHead(width, boxes, classes + 1) for boxes in spec.boxes_per_cell
        )

    def forward(self, taps: Taps) -> SsdOutputs:
        fused: list[Tensor] = []
        for tap, convolution in zip(reversed(taps[1:]), reversed(self.laterals), strict=True):
            x = convolution(tap)
            fused.append(x + upsample_to(fused[-1], x) if fused else x)
        features = [block(x) for block, x in zip(self.smooth, reversed(fused), strict=True)]
        for block in self.above:
            features.append(block(features[-1]))
        answers = [head(x) for head, x in zip(self.heads, features, strict=True)]
        return SsdOutputs(
            torch.cat([logits for logits, _ in answers], 1),
            torch.cat([deltas for _, deltas in answers], 1),
            tuple(features),
        )


class SsdLite(nn.Module):
    """The whole detector: normalised float32 (B, 3, H, W) images -> `SsdOutputs`."""

    def __init__(self, trunk: MobileNetV2Trunk, head: SsdLiteHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, images: Tensor) -> SsdOutputs:
        outputs: SsdOutputs = self.head(self.trunk(images))
        return outputs
