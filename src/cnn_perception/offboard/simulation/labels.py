"""The classes that simulated rooms know, and the colors that show them."""

from __future__ import annotations

import numpy as np

from cnn_perception.types import UInt8Array

__all__ = ["MASK_LABELS", "MASK_PALETTE", "OBJECT_CLASSES"]

OBJECT_CLASSES: tuple[str, ...] = (
    *("chair", "table", "ball", "bottle", "cup", "plant"),
    *("box", "cone", "robot", "person", "door", "shelf"),
)
"""What is detected; the index is the class id of a detector trained on these rooms."""

MASK_LABELS: tuple[str, ...] = ("background", "floor", "wall", *OBJECT_CLASSES)
"""What a mask tells apart; the index is the mask value. Rugs are floor; pictures, windows,
curtains, baseboards and vents are wall; ceiling and outside are background."""

MASK_PALETTE: UInt8Array = np.array(
    [
        (30, 30, 34),
        (122, 90, 60),
        (200, 200, 192),
        (220, 60, 60),
        (150, 86, 28),
        (255, 160, 16),
        (16, 168, 130),
        (32, 200, 232),
        (44, 180, 48),
        (196, 156, 92),
        (255, 96, 8),
        (64, 92, 255),
        (255, 56, 180),
        (140, 60, 204),
        (92, 132, 132),
    ],
    np.uint8,
)
"""uint8 (15, 3) RGB, one color for each of MASK_LABELS."""
