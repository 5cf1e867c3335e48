"""The normalisation that training and the bundles share."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MEAN", "STD", "normalise"]

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""ImageNet's, on the 0..255 scale."""


def normalise(images: Tensor) -> Tensor:
    """Return float32 (B, 3, H, W), channels last in memory, of uint8 (B, H, W, 3) RGB."""
    values = images.permute(0, 3, 1, 2).float()
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    return ((values - mean) / std).contiguous(memory_format=torch.channels_last)
