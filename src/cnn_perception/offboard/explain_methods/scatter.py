"""Pictures as points in the plane, drawn."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cnn_perception.image.draw import Color, palette
from cnn_perception.image.sheet import FAINT, GRID, Sheet, flow, text_width
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["THUMBNAIL", "draw_scatter", "thumbnail"]

THUMBNAIL = 72
"""Longer side of the small pictures, screen pixels."""
_WIDTH, _HEIGHT = 1200, 880  # of the plane
_EDGE, _HEAD, _LINE = 20, 44, 20
_FRAME, _DOT = 3, 5
_PLAIN: Color = (64, 110, 180)


def thumbnail(rgb: UInt8Array) -> UInt8Array:
    """Return a picture, uint8 (H, W, 3), no larger than `draw_scatter` shows it."""
    height, width = rgb.shape[:2]
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def draw_scatter(
    points: Float32Array,
    thumbnails: Sequence[UInt8Array],
    classes: Sequence[str],
    title: str,
    axes: tuple[str, str] = ("", ""),
) -> UInt8Array:
    """Return points (N, 2) as an RGB picture; both axes have one scale, y points up.

    Each is a dot, or its thumbnail where that hides none before it. classes: of each point, their
    colors are explained below; empty for none. axes: what the axes are, in words.
    """
    names = sorted(set(classes))
    colors: list[Color] = [(r, g, b) for r, g, b in palette(len(names)).tolist()]
    shades = [colors[names.index(name)] for name in classes] or [_PLAIN] * len(points)
    places, rows = flow([text_width(name, 8) + 36 for name in names], _WIDTH)
    sheet = Sheet(_WIDTH + 2 * _EDGE, _HEAD + _HEIGHT + _LINE * (2 + rows))
    sheet.text(title, _EDGE, 22, height=10, bold=True)
    sheet.fill(_EDGE, _HEAD, _WIDTH, _HEIGHT, GRID)
    sheet.fill(_EDGE + 1, _HEAD + 1, _WIDTH - 2, _HEIGHT - 2, (255, 255, 255))
    sheet.text(axes[0], _EDGE + _WIDTH / 2, _HEAD + _HEIGHT + 12, color=FAINT, anchor="middle")
    sheet.text(axes[1], 10, _HEAD + _HEIGHT / 2, color=FAINT, anchor="middle", upwards=True)
    for name, color, (x, row) in zip(names, colors, places, strict=True):
        sheet.swatch(color, name, _EDGE + x, _HEAD + _HEIGHT + _LINE * (row + 1.8))
    taken: list[tuple[int, int, int, int]] = []
    dots = []
    for (x, y), small, shade in zip(_placed(points), thumbnails, shades, strict=True):
        height, width = small.shape[:2]
        left, top = round(x - width / 2), round(y - height / 2)
        frame = (left - _FRAME, top - _FRAME, width + 2 * _FRAME, height + 2 * _FRAME)
        if any(_overlap(frame, other) for other in taken):
            dots.append((x, y, shade))
            continue
        taken.append(frame)
        sheet.fill(*frame, shade)
        sheet.picture(small, left, top)
    for x, y, shade in dots:
        sheet.dot(x, y, _DOT + 1.5, (255, 255, 255))
        sheet.dot(x, y, _DOT, shade)
    return sheet.finished()


def _placed(points: Float32Array) -> list[tuple[float, float]]:
    """Return where points lie on the sheet, so that all thumbnails do."""
    least, most = points.min(0), points.max(0)
    room = np.array([_WIDTH, _HEIGHT]) - THUMBNAIL - 4 * _FRAME
    span = most - least
    scale = min((r / s for r, s in zip(room, span, strict=True) if s > 0), default=1.0)
    middle = np.array([_EDGE + _WIDTH / 2, _HEAD + _HEIGHT / 2])
    placed = middle + (points - (least + most) / 2) * scale * (1, -1)
    return [(x, y) for x, y in placed.tolist()]


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
