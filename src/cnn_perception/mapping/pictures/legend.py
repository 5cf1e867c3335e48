"""The sheet that a map is drawn on: background, path, axes, scale bar, colors of the heights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np

from cnn_perception.types import Float32Array, Float64Array, UInt8Array

__all__ = ["Canvas", "height_colors"]

_BACKGROUND = (244, 246, 248)
_INK = (58, 64, 74)
_HALO = (255, 255, 255)
_FAINT = (176, 182, 190)
_PALE = 200
_PATH = (222, 30, 80)
_AXES = ((214, 60, 50), (40, 150, 70), (45, 95, 210))
_LEGENDS = np.array([124.0, 84.0])  # room for the heights at the right, the bar at the bottom
_HEAD = 76.0  # room for the title
_HEIGHTS = 0.28  # part of the sheet's height that the colors of the heights take
_FONT = cv2.FONT_HERSHEY_DUPLEX


def height_colors(fractions: Float32Array) -> Float32Array:
    """Return RGB float32 (N, 3), 0..255, for fractions of the height range, violet to yellow."""
    steps = np.clip(fractions * 255, 0, 255).astype(np.uint8)
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)
    return np.asarray(table[:, 0, ::-1][steps], np.float32)


class Canvas:
    """An RGB picture under construction; places are (x, y) pixels from the upper left."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels: UInt8Array = np.full((height, width, 3), _BACKGROUND, np.uint8)
        self._unit = max(height, width) / 1280  # line widths and letters grow with the sheet
        self._head = 0.0

    def fit(
        self, low: Float64Array, high: Float64Array, margin: float
    ) -> tuple[float, Float64Array]:
        """Return the scale and offset that centre the box low..high beside the legends."""
        height, width = self.pixels.shape[:2]
        first = np.array([margin, max(margin, self._head)]) * self._unit
        last = np.array([width, height]) - np.maximum(margin, _LEGENDS) * self._unit
        scale = float(((last - first) / np.maximum(high - low, 1e-9)).min())
        return scale, (first + last) / 2 - scale * (low + high) / 2

    def paint(self, pixels: UInt8Array, cover: Float32Array) -> None:
        """Lay a picture over the sheet; cover is its opacity, float32 (H, W) in [0, 1]."""
        blended = self.pixels + (pixels.astype(np.float32) - self.pixels) * cover[..., None]
        self.pixels = np.asarray(np.rint(blended), np.uint8)

    def path(self, places: Float64Array) -> None:
        """Draw the way of the camera, a ring where it starts and a dot where it ends."""
        for color, extra in ((_HALO, 3), (_PATH, 0)):
            points = np.rint(places * 16).astype(np.int32).reshape(-1, 1, 2)
            weight = self._pen(3) + extra
            cv2.polylines(self.pixels, [points], False, color, weight, cv2.LINE_AA, shift=4)
        for place, weight in ((places[0], self._pen(2)), (places[-1], cv2.FILLED)):
            center = self._at(place)
            cv2.circle(self.pixels, center, self._pen(8), _HALO, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(self.pixels, center, self._pen(6), _PATH, weight, cv2.LINE_AA)

    def axes(self, steps: Float64Array) -> None:
        """Draw x, y, z at the lower left; steps (3, 2) are the pixels that one metre takes."""
        length = _round_length(90 * self._unit / float(np.linalg.norm(steps, axis=1).max()))
        height = self.pixels.shape[0]
        start = np.array([110 * self._unit, height - 90 * self._unit])
        for name, step, color in zip("xyz", steps, _AXES, strict=True):
            end = start + step * length
            cv2.line(self.pixels, self._at(start), self._at(end), color, self._pen(3), cv2.LINE_AA)
            reach = float(np.linalg.norm(end - start))
            if reach > 1:
                self._text(
                    name, end + (end - start) / reach * 14 * self._unit, color, centered=True
                )
        self._text(f"{length:g} m", start + np.array([0, 46 * self._unit]), _INK, centered=True)

    def scale_bar(self, pixels_per_meter: float) -> None:
        """Draw a bar of a round length at the lower left."""
        length = _round_length(180 * self._unit / pixels_per_meter)
        left = np.array([40 * self._unit, self.pixels.shape[0] - 40 * self._unit])
        right = left + np.array([length * pixels_per_meter, 0])
        tick = np.array([0, 7 * self._unit])
        for start, end in ((left, right), (left - tick, left + tick), (right - tick, right + tick)):
            cv2.line(self.pixels, self._at(start), self._at(end), _INK, self._pen(2), cv2.LINE_AA)
        above = (left + right) / 2 - np.array([0, 18 * self._unit])
        self._text(f"{length:g} m", above, _INK, centered=True)

    def heights(self, low: float, high: float) -> None:
        """Draw the colors of the heights low..high, metres, at the right."""
        height, width = self.pixels.shape[:2]
        bar_height, bar_width = round(height * _HEIGHTS), self._pen(14)
        top, left = height - bar_height - self._pen(40), width - self._pen(100)
        ramp = height_colors(np.linspace(1, 0, bar_height, dtype=np.float32))
        self.pixels[top : top + bar_height, left : left + bar_width] = ramp[:, None]
        for value, row in ((high, top), (low, top + bar_height)):
            place = np.array([left + bar_width + 8 * self._unit, row + 5 * self._unit])
            self._text(f"{value:.1f} m", place, _INK)

    def names(
        self, colors: Mapping[str, tuple[int, int, int]], above_heights: bool = False
    ) -> None:
        """Say what RGB colors mean, each beside its name, at the right."""
        height, width = self.pixels.shape[:2]
        side, line = self._pen(14), self._pen(24)
        bottom = self._pen(40) + (round(height * _HEIGHTS) + self._pen(32) if above_heights else 0)
        widest = max((self._width(name) for name in colors), default=0)
        left = width - max(self._pen(100), widest + side + self._pen(20))
        top = height - bottom - line * len(colors)
        for row, (name, color) in enumerate(colors.items()):
            y = top + row * line
            self.pixels[max(y, 0) : max(y + side, 0), left : left + side] = color
            if min(color) > _PALE:  # it would be lost on the sheet
                cv2.rectangle(self.pixels, (left, y), (left + side - 1, y + side - 1), _FAINT)
            place = np.array([left + side + 8 * self._unit, y + side - 2 * self._unit])
            self._text(name, place, _INK)

    def title(self, text: str) -> None:
        """Write a line at the upper left, and keep what is drawn later below it."""
        self._head = _HEAD if text else 0.0
        self._text(text, np.array([40, 52]) * self._unit, _INK, size=0.8)

    def _width(self, text: str, size: float = 0.55) -> int:
        return int(cv2.getTextSize(text, _FONT, size * self._unit, self._pen(1))[0][0])

    def _text(
        self,
        text: str,
        place: Float64Array,
        color: tuple[int, int, int],
        centered: bool = False,
        size: float = 0.55,
    ) -> None:
        scale = size * self._unit
        if centered:
            (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
            place = place + np.array([-width / 2, height / 2])
        pen, where = self._pen(1), self._at(place)
        cv2.putText(self.pixels, text, where, _FONT, scale, color, pen, cv2.LINE_AA)

    def _at(self, place: Float64Array) -> tuple[int, int]:
        return round(float(place[0])), round(float(place[1]))

    def _pen(self, weight: float) -> int:
        return max(1, round(weight * self._unit))


def _round_length(metres: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above `metres`."""
    power = 10.0 ** math.floor(math.log10(metres))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= metres * 1.0001)
