"""Words on pictures, RGB uint8 (H, W, 3)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from cnn_perception.types import UInt8Array

__all__ = ["LIGHT", "darken", "measure", "text_size", "wrapped", "write"]

LIGHT = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_DUPLEX


def text_size(picture: UInt8Array) -> float:
    """Return the font scale at which text is legible and in proportion to the picture."""
    return float(np.clip(min(picture.shape[:2]) / 480 * 0.5, 0.4, 1.4))


def measure(text: str, size: float) -> tuple[int, int, int]:
    """Return width, height above the base line and depth below it, equal for all texts."""
    (width, _), _ = cv2.getTextSize(text, _FONT, size, _weight(size))
    return width, round(22 * size), round(6 * size)


def wrapped(text: str, width: float, width_of: Callable[[str], float]) -> list[str]:
    """Return a text as lines of at most a width, broken between words where that can be."""
    lines: list[str] = []
    for word in text.split():
        if lines and width_of(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        while len(word) > 1 and width_of(word) > width:
            fits = max(1, sum(width_of(word[:end]) <= width for end in range(1, len(word))))
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return lines


def write(
    picture: UInt8Array, text: str, origin: tuple[int, int], size: float, color: tuple[int, ...]
) -> None:
    """Write one line into a picture; origin: x of its left end and y of its base line, pixels."""
    cv2.putText(picture, text, origin, _FONT, size, color, _weight(size), cv2.LINE_AA)


def _weight(size: float) -> int:
    return 1 if size < 0.9 else 2


def darken(part: UInt8Array) -> None:
    """Make a part of a picture, in place, a ground for light words."""
    part[:] = cv2.addWeighted(part, 0.3, np.full_like(part, 16), 0.7, 0)
