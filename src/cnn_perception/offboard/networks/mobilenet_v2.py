"""The MobileNetV2 trunk that the detector and the segmenter stand on (Sandler et al. 2018)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torchvision.models import MobileNetV2

__all__ = ["MobileNetV2Trunk", "Taps"]

_EXPANSIONS = (4, 7, 14)
"""Blocks that halve the resolution; their expansion is the widest map before each halving."""

_BLOCKS = 18
"""Stem and 17 inverted residuals; the classifier's 1x1 convolution to 1280 channels is left out."""


class Taps(NamedTuple):
    """Feature maps of one batch at strides 4, 8, 16 and 32, each float32 (B, C, H, W)."""

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor
    stride32: Tensor


class MobileNetV2Trunk(nn.Module):
    """torchvision's MobileNetV2 without its classifier, with four taps.

    The taps at strides 4, 8 and 16 are the expansions of the blocks that halve the resolution, as
    SSDLite takes them. Input: float32 (B, 3, H, W), H and W multiples of 32. `channels` holds the
    channel count of each tap.
    """

    def __init__(self, width: float = 0.5) -> None:
        super().__init__()
        self.features = MobileNetV2(width_mult=width, num_classes=1).features[:_BLOCKS]
        expansions = [self.features[index].conv[0][0].out_channels for index in _EXPANSIONS]
        last = self.features[_BLOCKS - 1].conv[-1].num_features
        self.channels: tuple[int, int, int, int] = (*expansions, last)

    def forward(self, images: Tensor) -> Taps:
        x = images
        taps = []
        for index, block in enumerate(self.features):
            if index in _EXPANSIONS:
                # A halving block has no residual connection, so it may be split in two.
                x = block.conv[0](x)
                taps.append(x)
                x = block.conv[1:](x)
            else:
                x = block(x)
        return Taps(taps[0], taps[1], taps[2], x)
