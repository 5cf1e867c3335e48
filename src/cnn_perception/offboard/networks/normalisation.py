"""What is taken from pixels, and what they are divided by, before a network sees them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["CAFFE", "CENTRED", "IMAGENET", "Normalisation", "normalise"]

Triple = tuple[float, float, float]


class Normalisation(NamedTuple):
    """Mean and standard deviation per channel (R, G, B), on the scale 0 to 255."""

    mean: Triple
    std: Triple


IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""torchvision's classifiers, and what stands on them."""

CAFFE = Normalisation((123.0, 117.0, 104.0), (1.0, 1.0, 1.0))
"""SSD300 on VGG16, whose weights come from Caffe."""

CENTRED = Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
"""TensorFlow's SSDLite: from -1 to 1."""


def normalise(images: Tensor, normalisation: Normalisation = IMAGENET) -> Tensor:
    """Return float32 (B, 3, H, W), channels last in memory, of uint8 (B, H, W, 3) RGB."""
    values = images.permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(x, device=images.device).view(1, 3, 1, 1) for x in normalisation)
    return ((values - mean) / std).contiguous(memory_format=torch.channels_last)
