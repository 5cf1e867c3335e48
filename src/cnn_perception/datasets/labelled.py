"""One image with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.types import BoolArray, Float32Array, UInt8Array

__all__ = ["LabelledImage"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """An image with boxes and a mask.

    color: uint8 (H, W, 3) RGB; mask: uint8 (H, W), label per pixel, 255 unlabelled; boxes: float32
    (N, 4) corners in pixels; classes: int32 (N,); difficult: bool (N,), objects that count neither
    for nor against a detector. Raises ConfigError for shapes that do not agree.
    """

    color: UInt8Array
    mask: UInt8Array
    boxes: Float32Array
    classes: NDArray[np.int32]
    difficult: BoolArray

    def __post_init__(self) -> None:
        count = len(self.classes)
        expected = {
            "color": (*self.mask.shape, 3),
            "boxes": (count, 4),
            "difficult": (count,),
        }
        for name, shape in expected.items():
            actual = getattr(self, name).shape
            if actual != shape:
                raise ConfigError(f"LabelledImage.{name} has shape {actual}: expected {shape}")
