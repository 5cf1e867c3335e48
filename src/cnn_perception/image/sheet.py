"""A white sheet to draw charts on, with smooth lines and letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from cnn_perception.image.draw import Color
from cnn_perception.types import Float64Array, UInt8Array

__all__ = ["FAINT", "GRID", "INK", "Sheet", "flow", "text_width"]

INK, FAINT, GRID = (44, 49, 58), (120, 127, 137), (226, 229, 233)
_FINER = 3
"""Everything is drawn this much larger and then averaged."""
_SHIFT = 4  # bits of a pixel that OpenCV is told
_FONT = cv2.FONT_HERSHEY_DUPLEX
_LETTER = 1 / 22  # font scale per pixel of a capital's height
_WIDEST = 8192


def text_width(text: str, height: float) -> float:
    """Return the pixels that a text takes whose capitals are `height` pixels high."""
    (width, _), _ = cv2.getTextSize(text, _FONT, height * _LETTER * _FINER, 1)
    return float(width) / _FINER


def flow(widths: Sequence[float], room: float) -> tuple[list[tuple[float, int]], int]:
    """Return x and row of entries that follow each other like words, and the number of rows."""
    places: list[tuple[float, int]] = []
    x, row = 0.0, 0
    for width in widths:
        if x > 0 and x + width > room:
            x, row = 0.0, row + 1
        places.append((x, row))
        x += width
    return places, row + 1


class Sheet:
    """An RGB picture under construction; places are (x, y) in pixels from the upper left."""

    def __init__(self, width: int, height: int) -> None:
        width, height = min(width, _WIDEST), min(height, _WIDEST)
        self._pixels: UInt8Array = np.full((height * _FINER, width * _FINER, 3), 255, np.uint8)

    def finished(self) -> UInt8Array:
        """Return the picture, uint8 (height, width, 3)."""
        rows, columns = self._pixels.shape[:2]
        size = (columns // _FINER, rows // _FINER)
        return np.asarray(cv2.resize(self._pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    def line(
        self, places: Sequence[Sequence[float]] | Float64Array, color: Color, width: float
    ) -> None:
        """Draw a line through places, (N, 2)."""
        points = np.rint(np.asarray(places, np.float64) * (_FINER * 2**_SHIFT)).astype(np.int32)
        pen = max(1, round(width * _FINER))
        cv2.polylines(
            self._pixels, [points.reshape(-1, 1, 2)], False, color, pen, cv2.LINE_AA, _SHIFT
        )

    def fill(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """Fill a rectangle."""
        self._part(x, y, x + width, y + height)[:] = color

    def swatch(self, color: Color, text: str, x: float, y: float) -> None:
        """Draw an entry of a legend: what a color stands for, its words centred at y."""
        self.fill(x, y - 6, 13, 13, FAINT)
        self.fill(x + 1, y - 5, 11, 11, color)
        self.text(text, x + 19, y, height=8)

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        """Fill a circle."""
        column, row, reach = (round(value * _FINER * 2**_SHIFT) for value in (x, y, radius))
        cv2.circle(self._pixels, (column, row), reach, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def picture(self, rgb: UInt8Array, x: int, y: int) -> None:
        """Put a picture, uint8 (h, w, 3), with its upper left corner at (x, y)."""
        height, width = rgb.shape[:2]
        self._part(x, y, x + width, y + height)[:] = rgb.repeat(_FINER, 0).repeat(_FINER, 1)

    def text(
        self,
        text: str,
        x: float,
        y: float,
        *,
        height: float = 9,
        color: Color = INK,
        anchor: Literal["left", "middle", "right"] = "left",
        bold: bool = False,
        upwards: bool = False,
    ) -> None:
        """Write a line whose capitals are `height` pixels high and centred at y (x if upwards).

        anchor: which end of the text is at x; upwards: it runs up the sheet, from y on.
        """
        width = text_width(text, height)
        back = {"left": 0.0, "middle": 0.5, "right": 1.0}[anchor] * width
        if upwards:  # drawn on its part of the sheet, turned
            reach = 2 * height
            left, top = max(x - reach, 0), max(y + back - width - reach, 0)
            part = self._part(left, top, x + reach, y + back + reach)
            turned = np.ascontiguousarray(np.rot90(part, -1))
            x, y = part.shape[0] / _FINER - (y - top), x - left
            self._write(turned, text, x - back, y, height, color, bold)
            part[:] = np.rot90(turned, 1)
        else:
            self._write(self._pixels, text, x - back, y, height, color, bold)

    def _part(self, left: float, top: float, right: float, bottom: float) -> UInt8Array:
        """Return a rectangle of the drawing, which can be written to."""
        columns = slice(round(left * _FINER), round(right * _FINER))
        return self._pixels[round(top * _FINER) : round(bottom * _FINER), columns]

    @staticmethod
    def _write(
        pixels: UInt8Array,
        text: str,
        x: float,
        y: float,
        height: float,
        color: Color,
        bold: bool,
    ) -> None:
        origin = (round(x * _FINER), round((y + height / 2) * _FINER))
        scale, pen = height * _LETTER * _FINER, round((0.62 if bold else 0.4) * _FINER * height / 9)
        cv2.putText(pixels, text, origin, _FONT, scale, color, max(pen, 1), cv2.LINE_AA)
