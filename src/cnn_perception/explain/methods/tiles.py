"""Small pictures side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cnn_perception.types import UInt8Array

__all__ = ["tiled"]

_GROUND = 32


def tiled(pictures: Sequence[UInt8Array], *, scale: int = 1, gap: int = 2) -> UInt8Array:
    """Return pictures of one size, uint8 (h, w, 3), as a grid about as wide as high.

    scale: screen pixels per pixel, along each axis; gap: between pictures, screen pixels.
    """
    height, width = (side * scale for side in pictures[0].shape[:2])
    columns = math.ceil(math.sqrt(len(pictures) * (height + gap) / (width + gap)))
    rows = math.ceil(len(pictures) / columns)
    size = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(size, _GROUND, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        y, x = gap + row * (height + gap), gap + column * (width + gap)
        large = picture.repeat(scale, 0).repeat(scale, 1)
        sheet[y : y + height, x : x + width] = large
    return sheet
