"""The section ``network`` of a plan for simulated rooms."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.detection.default_boxes import DefaultBoxSpec, PyramidBoxes
from cnn_perception.settings import REQUIRED, Config, setting

__all__ = ["RoomsConfig"]


@dataclass(frozen=True, slots=True)
class RoomsConfig(Config):
    """Size of the network and of its input, and how its losses are weighed."""

    default_boxes: PyramidBoxes = setting(REQUIRED, "Sizes and shapes of the default boxes")
    image_width: int = setting(256, "Width of the input, pixels", minimum=64, maximum=1024)
    image_height: int = setting(192, "Height of the input, pixels", minimum=64, maximum=1024)
    width: float = setting(0.5, "Channel multiplier of MobileNetV2", minimum=0.1, maximum=2.0)
    box_width: int = setting(96, "Channels of the detector's pyramid", minimum=16, maximum=512)
    mask_width: int = setting(96, "Channels of the segmenter's decoder", minimum=16, maximum=512)
    match_iou: float = setting(
        0.45, "Overlap from which a default box is an object", minimum=0.1, maximum=0.9
    )
    ignore_iou: float = setting(
        0.4,
        "Default boxes from this overlap up to match_iou, or with a difficult object, do not count",
        minimum=0.1,
        maximum=0.9,
    )
    negatives: float = setting(
        3.0, "Hard negatives per positive default box", minimum=0.5, maximum=100.0
    )
    offset_beta: float = setting(
        1.0,
        "Error of an offset, in variances, from which smooth L1 is linear; smaller is more precise",
        minimum=0.01,
        maximum=10.0,
    )
    mask_stride: int = setting(
        4, "Pixels between two that the masks teach; logits have stride 4", minimum=1, maximum=4
    )
    mask_weight: float = setting(1.0, "Weight of the mask loss", minimum=0.0, maximum=100.0)
    box_weight: float = setting(1.0, "Weight of the box loss", minimum=0.0, maximum=100.0)

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        self.boxes  # noqa: B018  checked before rooms are rendered for it

    @property
    def boxes(self) -> DefaultBoxSpec:
        """The default boxes at the input's size."""
        return self.default_boxes.at((self.image_width, self.image_height))
