"""``mask_logits``: a logit for each class of each pixel."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from cnn_perception.formats.format import Bundle, Mask, SegmentationFormat, Tensors
from cnn_perception.types import Float32Array

__all__ = ["MaskLogitsFormat", "classify_pixels"]


class MaskLogitsFormat(SegmentationFormat):
    """Logits of any resolution.

    They are interpolated to the network's input before the best class is chosen: edges follow the
    objects instead of stairs.
    """

    name = "mask_logits"
    shapes: ClassVar = {"mask_logits": (1, "C", "h", "w")}

    def mask(self, tensors: Tensors, bundle: Bundle) -> Mask:
        return classify_pixels(tensors["mask_logits"], (bundle.input.width, bundle.input.height))


def classify_pixels(logits: Float32Array, size: tuple[int, int]) -> Mask:
    """Return the best class of each pixel, uint16 (height, width), of interpolated logits.

    logits: float32 (C, h, w); size: (width, height). Of equal logits the lower class wins.
    """
    best = cv2.resize(np.ascontiguousarray(logits[0]), size, interpolation=cv2.INTER_LINEAR)
    classes = np.zeros(best.shape, np.uint16)
    # One pass per class over planes that stay in cache; np.argmax over the stack takes longer.
    for index in range(1, len(logits)):
        plane = cv2.resize(
            np.ascontiguousarray(logits[index]), size, interpolation=cv2.INTER_LINEAR
        )
        classes[plane > best] = index
        np.maximum(best, plane, out=best)
    return classes
