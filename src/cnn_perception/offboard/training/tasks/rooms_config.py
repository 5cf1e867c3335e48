"""The section ``network`` of a plan for simulated rooms."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.formats.default_boxes import DefaultBoxSpec, PyramidBoxes
from cnn_perception.settings import REQUIRED, Config, setting

__all__ = ["RoomsConfig"]


@dataclass(frozen=True, slots=True)
class RoomsConfig(Config):
    """Size of the network and of its input, and how its losses are weighed."""

    default_boxes: PyramidBoxes = setting(REQUIRED, "Sizes and shapes of the default boxes")
    image_width: int = setting(256, "Width of the input, pixels", between=(64, 1024))
    image_height: int = setting(192, "Height of the input, pixels", between=(64, 1024))
    width: float = setting(0.5, "Channel multiplier of MobileNetV2", between=(0.1, 2.0))
    box_width: int = setting(96, "Channels of the detector's pyramid", between=(16, 512))
    mask_width: int = setting(96, "Channels of the segmenter's decoder", between=(16, 512))
    match_iou: float = setting(
        0.45, "Overlap from which a default box is an object", between=(0.1, 0.9)
    )
    ignore_iou: float = setting(
        0.4,
        "Default boxes from this overlap up to match_iou, or with a difficult object, do not count",
        between=(0.1, 0.9),
    )
    negatives: float = setting(3.0, "Hard negatives per positive default box", between=(0.5, 100.0))
    offset_beta: float = setting(
        1.0,
        "Error of an offset, in variances, from which smooth L1 is linear; smaller is more precise",
        between=(0.01, 10.0),
    )
    mask_stride: int = setting(
        4, "Pixels between two that the masks teach; logits have stride 4", between=(1, 4)
    )
    mask_weight: float = setting(1.0, "Weight of the mask loss", between=(0.0, 100.0))
    box_weight: float = setting(1.0, "Weight of the box loss", between=(0.0, 100.0))

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        self.boxes  # noqa: B018  checked before rooms are rendered for it

    @property
    def boxes(self) -> DefaultBoxSpec:
        """The default boxes at the input's size."""
        return self.default_boxes.at((self.image_width, self.image_height))
