"""Images that were found side by side, and how their losses fell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cnn_perception.image.draw import palette
from cnn_perception.image.sheet import FAINT, GRID, INK, Sheet, text_width
from cnn_perception.types import Float64Array, UInt8Array

__all__ = ["draw_losses", "draw_table"]

_SIDE = 180  # pixels that the shorter side of a picture has at least
_GAP, _HEAD = 10, 30
_PLOT = (74, 50, 520, 300)  # x, y, width and height of the axes, pixels
_MOST_DECADES = 6
"""Powers of ten that a chart shows at most, from the greatest loss down."""


def draw_table(columns: Sequence[str], rows: Mapping[str, Sequence[UInt8Array]]) -> UInt8Array:
    """Return named rows of pictures of one size, uint8 (h, w, 3), below the names of columns."""
    height, width = next(iter(rows.values()))[0].shape[:2]
    scale = max(1, math.ceil(_SIDE / min(height, width)))
    height, width = scale * height + _GAP, scale * width + _GAP
    left = round(max(text_width(name, 9) for name in rows)) + 2 * _GAP
    sheet = Sheet(left + len(columns) * width, _HEAD + len(rows) * height)
    for column, name in enumerate(columns):
        sheet.text(name, left + column * width, _HEAD / 2, color=FAINT)
    for row, (name, pictures) in enumerate(rows.items()):
        top = _HEAD + row * height
        sheet.text(name, left - _GAP, top + height / 2, anchor="right")
        for column, picture in enumerate(pictures):
            large = picture.repeat(scale, 0).repeat(scale, 1)
            sheet.picture(large, left + column * width, top)
    return sheet.finished()


def draw_losses(losses: Mapping[str, Float64Array], title: str) -> UInt8Array:
    """Return the curves of losses over steps, on a logarithmic scale.

    losses: float64 (steps + 1,), not negative, as of `OptimisedImage`.
    """
    x, y, width, height = _PLOT
    shown = np.concatenate(list(losses.values()))
    shown = shown[shown > 0] if (shown > 0).any() else np.ones(1)
    top = math.ceil(math.log10(shown.max()))
    decades = min(max(top - math.floor(math.log10(shown.min())), 1), _MOST_DECADES)
    steps = len(next(iter(losses.values()))) - 1
    sheet = Sheet(
        round(x + width + 60 + max(text_width(name, 8) for name in losses)), y + height + 54
    )
    sheet.text(title, 24, 24, height=11, bold=True)

    def places(values: Float64Array) -> Float64Array:
        powers = np.log10(np.maximum(values, 10.0 ** (top - decades)))
        across = np.linspace(x, x + width, len(values))
        return np.stack([across, y + height * (top - powers) / decades], axis=1)

    for decade in range(decades + 1):
        up = y + height * decade / decades
        sheet.line([(x, up), (x + width, up)], GRID, 1)
        sheet.text(f"{10.0 ** (top - decade):g}", x - 10, up, height=8, color=FAINT, anchor="right")
    for step in (0, steps):
        across = x + width * step / steps
        sheet.text(str(step), across, y + height + 16, height=8, color=FAINT, anchor="middle")
    sheet.line([(x, y), (x, y + height), (x + width, y + height)], FAINT, 1)
    sheet.text("step", x + width / 2, y + height + 34, anchor="middle")
    sheet.text("loss", 18, y + height / 2, anchor="middle", upwards=True)
    for row, (name, values) in enumerate(losses.items()):
        red, green, blue = palette(len(losses))[row].tolist()
        sheet.line(places(values), (red, green, blue), 1.8)
        up = y + 10 + 22 * row
        sheet.line([(x + width + 16, up), (x + width + 36, up)], (red, green, blue), 2.4)
        sheet.text(name, x + width + 44, up, height=8, color=INK)
    return sheet.finished()
