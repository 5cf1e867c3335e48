"""Colours by height, as octomap_server's use_height_map gives them."""

from __future__ import annotations

import numpy as np

from cnn_perception.mapping.leaves import Leaves
from cnn_perception.types import Float32Array, Float64Array, IntArray

__all__ = ["height_palette", "height_shades"]

SHADES = 256


def height_palette(color_factor: float) -> Float32Array:
    """Return the colours from the lowest height to the highest, float32 (256, 4) RGBA.

    They run along the colour circle (HSV with full saturation and value) from hue color_factor, a
    part of the circle, to 0, which is red.
    """
    hue = np.linspace(color_factor, 0.0, SHADES)
    palette = np.ones((SHADES, 4), np.float32)
    for channel, offset in enumerate((0.0, 4.0, 2.0)):
        # Red is full within a sixth of the circle of hue 0, green of 1/3, blue of 2/3.
        distance = np.abs((hue * 6.0 + offset) % 6.0 - 3.0) - 1.0
        palette[:, channel] = np.clip(distance, 0.0, 1.0)
    return palette


def height_shades(cells: Leaves, known: Leaves) -> IntArray:
    """Return the shade of each cell, 0 at the bottom of everything known and 255 at its top."""
    middle: Float64Array = cells.keys[:, 2] + 0.5 * cells.spans
    low = float(known.keys[:, 2].min()) if len(known) else 0.0
    high = float((known.keys[:, 2] + known.spans).max()) if len(known) else 1.0
    fraction = np.clip((middle - low) / (high - low), 0.0, 1.0)
    return np.asarray(np.rint(fraction * (SHADES - 1)), np.int64)
