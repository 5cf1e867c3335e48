"""Pages of pictures side by side, with a title and a legend."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cnn_perception.image.draw import Color
from cnn_perception.image.sheet import FAINT, Sheet, flow, text_width
from cnn_perception.types import UInt8Array

__all__ = ["Panel", "panel_page", "sized"]

_NARROW, _WIDE = 520, 720  # widths between which pictures are brought
_EDGE, _HEAD, _LINE = 14, 58, 20

Panel = tuple[str, UInt8Array]
"""A title and the picture below it."""


def panel_page(
    title: str, panels: Sequence[Panel], legend: Sequence[tuple[Color, str]]
) -> UInt8Array:
    """Return panels side by side under a title and above a legend, RGB uint8 (H, W, 3)."""
    width = sum(panel.shape[1] + _EDGE for _, panel in panels) + _EDGE
    height = max(panel.shape[0] for _, panel in panels)
    places, rows = flow([text_width(text, 8) + 36 for _, text in legend], width - 2 * _EDGE)
    sheet = Sheet(round(width), _HEAD + height + 12 + rows * _LINE + 6)
    sheet.text(title, _EDGE, 20, height=10, bold=True)
    for (color, text), (x, row) in zip(legend, places, strict=True):
        sheet.swatch(color, text, _EDGE + x, _HEAD + height + 12 + (row + 0.5) * _LINE)
    left = _EDGE
    for text, panel in panels:
        sheet.text(text, left, _HEAD - 13, height=8, color=FAINT)
        left += panel.shape[1] + _EDGE
    page = sheet.finished()
    left = _EDGE
    for _, panel in panels:
        page[_HEAD : _HEAD + panel.shape[0], left : left + panel.shape[1]] = panel
        left += panel.shape[1] + _EDGE
    return page


def sized(color: UInt8Array) -> tuple[UInt8Array, float]:
    """Return a picture, RGB uint8 (H, W, 3), at a width that shows well, and its scale."""
    height, width = color.shape[:2]
    scale = min(max(1.0, _NARROW / width), _WIDE / width)
    if scale == 1.0:
        return color, 1.0
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (round(width * scale), max(1, round(height * scale)))
    return np.asarray(cv2.resize(color, size, interpolation=way), np.uint8), scale
