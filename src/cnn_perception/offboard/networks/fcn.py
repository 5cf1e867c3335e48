"""A fully convolutional network with skip connections (Long, Shelhamer and Darrell 2015)."""

from __future__ import annotations

from torch import Tensor, nn

from cnn_perception.offboard.networks.layers import lateral, separable, upsample_to
from cnn_perception.offboard.networks.mobilenet_v2 import MobileNetV2Trunk, Taps

__all__ = ["Fcn", "FcnHead"]


class FcnHead(nn.Module):
    """Class scores from a trunk's taps: coarse maps are enlarged and joined with finer ones.

    As in FCN-8s the joins are sums after a 1x1 convolution, but of `width` features instead of
    class scores, followed by a separable convolution, and they go on to stride 4. Output: float32
    (B, classes, H / 4, W / 4) logits.
    """

    def __init__(self, taps: tuple[int, int, int, int], classes: int, width: int) -> None:
        super().__init__()
        widths = (width // 2, width, width, width)
        self.laterals = nn.ModuleList(
            lateral(channels, outputs) for channels, outputs in zip(taps, widths, strict=True)
        )
        self.joins = nn.ModuleList(
            separable(inputs, outputs)
            for inputs, outputs in zip(widths, (width // 2, width // 2, width, width), strict=True)
        )
        self.score = nn.Conv2d(width // 2, classes, 1)

    def forward(self, taps: Taps) -> Tensor:
        x = self.joins[3](self.laterals[3](taps.stride32))
        for level in (2, 1, 0):
            skip = self.laterals[level](taps[level])
            x = self.joins[level](skip + upsample_to(x, skip))
        scores: Tensor = self.score(x)
        return scores


class Fcn(nn.Module):
    """The whole segmenter: normalised float32 (B, 3, H, W) images -> logits at stride 4."""

    def __init__(self, trunk: MobileNetV2Trunk, head: FcnHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.trunk(images))
        return scores
