"""Keys: what the colors of a map mean, beside its caption."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cnn_perception.image.draw import blend_heatmap, blend_signed
from cnn_perception.image.text import LIGHT, darken, measure, text_size, wrapped, write
from cnn_perception.types import UInt8Array

__all__ = ["Key", "draw_key", "grey_key", "heat_key", "signed_key", "viridis_key"]

_GREY = 128
_NARROWEST = 320
"""Pictures are enlarged to this width at least, as words need it."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A color bar, RGB uint8 (1, 256, 3), and the words at its ends."""

    bar: UInt8Array
    low: str
    high: str


def heat_key(alpha: float, high: str = "1 of its largest value") -> Key:
    """Return the colors of `blend_heatmap` over grey, from 0 to what `high` says."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    return Key(blend_heatmap(_grey(), ramp, alpha), "0", high)


def signed_key(alpha: float) -> Key:
    """Return the colors of `blend_signed` over grey, by the largest absolute value."""
    ramp = np.linspace(-1, 1, 256, dtype=np.float32)[None]
    return Key(blend_signed(_grey(), ramp, alpha), "against, -1", "1, for")


def grey_key(high: str) -> Key:
    """Return what stands for -1 to 1 where 0 is grey."""
    ramp = np.arange(256, dtype=np.uint8)
    return Key(np.repeat(ramp[None, :, None], 3, axis=2), "-1", high)


def viridis_key(low: str, high: str) -> Key:
    """Return the colors of the viridis map."""
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_VIRIDIS)
    return Key(np.ascontiguousarray(ramp[:, :, ::-1]), low, high)


def draw_key(rgb: UInt8Array, text: str, key: Key | None = None) -> UInt8Array:
    """Return a copy of the picture with a text and a key in a dark strip along its lower edge.

    Small pictures are enlarged, by a whole factor, so that the words are legible.
    """
    factor = -(-_NARROWEST // rgb.shape[1])
    picture: UInt8Array = rgb.repeat(factor, 0).repeat(factor, 1)
    size = text_size(picture)
    _, height, base = measure("", size)
    pad = max(3, round(height * 0.55))
    room = picture.shape[1] - 2 * pad
    lines = wrapped(text, room, lambda words: measure(words, size)[0])
    bar = 8 * height
    taken = 0
    if key:
        taken = sum(measure(words, size)[0] for words in (key.low, key.high)) + bar + 2 * pad
        if not lines or measure(lines[-1], size)[0] + taken + 2 * pad > room:
            lines.append("")
    row = height + base + pad
    top = picture.shape[0] - row * len(lines) - pad
    if top < 0:
        picture = np.pad(picture, ((0, -top), (0, 0), (0, 0)))
        top = 0
    darken(picture[top:])
    for index, line in enumerate(lines):
        write(picture, line, (pad, top + pad + height + index * row), size, LIGHT)
    if key:
        y = picture.shape[0] - pad - base
        x = picture.shape[1] - pad - taken
        write(picture, key.low, (x, y), size, LIGHT)
        x += measure(key.low, size)[0] + pad
        colors = cv2.resize(key.bar, (bar, height), interpolation=cv2.INTER_LINEAR)
        picture[y - height : y, x : x + bar] = colors
        write(picture, key.high, (x + bar + pad, y), size, LIGHT)
    return picture


def _grey() -> UInt8Array:
    return np.full((1, 256, 3), _GREY, np.uint8)
