"""One image with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.types import BoolArray, Float32Array, Float64Array, UInt8Array

__all__ = ["LabelledImage"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """An image with boxes and a mask.

    color: uint8 (H, W, 3) RGB; mask: uint8 (H, W), label per pixel, 255 unlabelled; boxes: float32
    (N, 4) corners in pixels; classes: int32 (N,); difficult: bool (N,), objects that count neither
    for nor against a detector. Where the source says so: truncated: bool (N,), objects that the
    image's border or another object cuts; crowd: bool (N,), boxes around many objects of a class;
    areas: float64 (N,), square pixels of each object's outline; label: class of the whole image;
    name: what to call the image in a message. Raises ConfigError for shapes that do not agree.
    """

    color: UInt8Array
    mask: UInt8Array
    boxes: Float32Array
    classes: NDArray[np.int32]
    difficult: BoolArray
    truncated: BoolArray | None = None
    crowd: BoolArray | None = None
    areas: Float64Array | None = None
    label: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        count = len(self.classes)
        expected = {
            "color": (*self.mask.shape, 3),
            "boxes": (count, 4),
            "difficult": (count,),
            "truncated": (count,),
            "crowd": (count,),
            "areas": (count,),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            actual = shape if value is None else value.shape
            if actual != shape:
                raise ConfigError(f"LabelledImage.{name} has shape {actual}: expected {shape}")

    def only(self, kept: BoolArray) -> LabelledImage:
        """Return the image with some of its objects alone; kept: bool (N,)."""
        rows = ("boxes", "classes", "difficult", "truncated", "crowd", "areas")
        known = {name: getattr(self, name) for name in rows}
        return replace(
            self, **{name: value[kept] for name, value in known.items() if value is not None}
        )
