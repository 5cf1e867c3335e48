"""The network behind both shipped bundles: one trunk, trained for boxes and masks at once."""

from __future__ import annotations

import copy
from typing import NamedTuple

from torch import Tensor, nn

from cnn_perception.formats.default_boxes import DefaultBoxSpec
from cnn_perception.offboard.networks.fcn import Fcn, FcnHead
from cnn_perception.offboard.networks.mobilenet_v2 import MobileNetV2Trunk
from cnn_perception.offboard.networks.ssdlite import SsdLite, SsdLiteHead, SsdOutputs

__all__ = ["RoomsNetwork", "RoomsOutputs"]


class RoomsOutputs(NamedTuple):
    """Boxes (see `SsdOutputs`) and mask logits float32 (B, labels, H / 4, W / 4)."""

    boxes: SsdOutputs
    mask_logits: Tensor


class RoomsNetwork(nn.Module):
    """A trunk with an SSDLite and an FCN head.

    Masks label every pixel, so they teach the trunk far faster than boxes alone; after training
    each head leaves with its own copy of the trunk.
    """

    def __init__(
        self,
        spec: DefaultBoxSpec,
        object_classes: int,
        mask_labels: int,
        *,
        width: float = 0.5,
        box_width: int = 96,
        mask_width: int = 96,
    ) -> None:
        super().__init__()
        self.trunk = MobileNetV2Trunk(width)
        self.boxes = SsdLiteHead(self.trunk.channels, object_classes, spec, box_width)
        self.masks = FcnHead(self.trunk.channels, mask_labels, mask_width)

    def forward(self, images: Tensor) -> RoomsOutputs:
        taps = self.trunk(images)
        return RoomsOutputs(self.boxes(taps), self.masks(taps))

    def detector(self) -> SsdLite:
        """Return the detector alone, with copies of the weights."""
        return SsdLite(copy.deepcopy(self.trunk), copy.deepcopy(self.boxes))

    def segmenter(self) -> Fcn:
        """Return the segmenter alone, with copies of the weights."""
        return Fcn(copy.deepcopy(self.trunk), copy.deepcopy(self.masks))
