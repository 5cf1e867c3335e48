"""A box around the heat: localisation that was never trained on boxes."""

from __future__ import annotations

import cv2
import numpy as np

from cnn_perception.types import Float32Array

__all__ = ["evidence_box"]


def evidence_box(heat: Float32Array, share: float = 0.2) -> Float32Array | None:
    """Return the box around the largest patch of heat, float32 (4,) corners in the map's pixels.

    The patch is the largest connected one of what is above a share of the largest value, of 20 % in
    Zhou et al. 2016, section 3.2. heat: float32 (h, w), not negative; one of zeros has none.
    """
    top = float(heat.max(initial=0.0))
    if top <= 0:
        return None
    hot = (heat > np.float32(share * top)).view(np.uint8)
    _, _, patches, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    x, y, width, height = patches[1 + int(patches[1:, cv2.CC_STAT_AREA].argmax()), :4].tolist()
    return np.array([x, y, x + width, y + height], np.float32)
