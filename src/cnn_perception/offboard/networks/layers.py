"""Layers that the detection and the segmentation head share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["lateral", "separable", "upsample_to"]


def lateral(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 1x1 convolution with batch normalisation, without activation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise convolution, each with normalisation and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU6(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


def upsample_to(x: Tensor, like: Tensor) -> Tensor:
    """Return `x` bilinearly enlarged to the height and width of `like`."""
    return functional.interpolate(
        x, size=(like.shape[2], like.shape[3]), mode="bilinear", align_corners=False
    )
