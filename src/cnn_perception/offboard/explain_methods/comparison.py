"""Explanations of one picture side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cnn_perception.image.key import Key
from cnn_perception.image.sheet import FAINT, GRID, Sheet, text_width
from cnn_perception.image.text import wrapped
from cnn_perception.types import UInt8Array

__all__ = ["Tile", "draw_comparison"]

_WIDTH = 300  # of a tile, pixels
_GAP, _HEAD, _LINE = 16, 44, 22
_BAR = 150
_SMALL = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One explanation: a title, a line below it, and a picture RGB uint8, or why there is none.

    key: what its colors mean.
    """

    title: str
    note: str
    picture: UInt8Array | str
    key: Key | None = None


def draw_comparison(tiles: Sequence[Tile], shape: tuple[int, int]) -> UInt8Array:
    """Return tiles in rows, RGB uint8, above one legend; shape: rows and columns of the photo.

    The size depends on the number of tiles, their keys and the shape only.
    """
    height = round(_WIDTH * min(max(shape[0] / shape[1], 0.5), 1.5))
    columns = min(len(tiles), math.ceil(math.sqrt(1.4 * len(tiles) * (height + _HEAD) / _WIDTH)))
    rows = math.ceil(len(tiles) / columns)
    columns = math.ceil(len(tiles) / rows)  # even rows
    legend = _legend(tiles)
    bottom = _GAP + rows * (_HEAD + height + _GAP)
    sheet = Sheet(_GAP + columns * (_WIDTH + _GAP), bottom + _LINE * len(legend) + 8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        x, y = _GAP + column * (_WIDTH + _GAP), _GAP + row * (_HEAD + height + _GAP)
        sheet.text(_shortened(tile.title, 0.7 * _WIDTH), x, y + 8, height=10, bold=True)
        sheet.text(_shortened(tile.note, _WIDTH), x, y + 28, height=_SMALL, color=FAINT)
        sheet.fill(x, y + _HEAD, _WIDTH, height, GRID)
        if isinstance(tile.picture, str):
            lines = wrapped(tile.picture, _WIDTH - 24, _text_width)[: height // 18 - 1]
            for k, line in enumerate(lines):
                sheet.text(line, x + 12, y + _HEAD + 18 * (k + 1), height=_SMALL)
        else:
            fitted = _fitted(tile.picture, height)
            margins = _WIDTH - fitted.shape[1], height - fitted.shape[0]
            sheet.picture(fitted, x + margins[0] // 2, y + _HEAD + margins[1] // 2)
    left = _GAP + 8 + round(max((_text_width(key.low) for key, _ in legend), default=0.0))
    for k, (key, titles) in enumerate(legend):
        y = bottom + round(_LINE * (k + 0.4))
        bar = cv2.resize(key.bar, (_BAR, 12), interpolation=cv2.INTER_LINEAR)
        high = f"{key.high}: {', '.join(titles)}"
        sheet.text(key.low, left - 8, y, height=_SMALL, anchor="right")
        sheet.picture(np.asarray(bar, np.uint8), left, y - 6)
        right = left + _BAR + 8
        sheet.text(_shortened(high, columns * (_WIDTH + _GAP) - right), right, y, height=_SMALL)
    return sheet.finished()


def _legend(tiles: Sequence[Tile]) -> list[tuple[Key, list[str]]]:
    """Return each key once, and the titles of the tiles whose it is."""
    legend: dict[tuple[str, ...], tuple[Key, list[str]]] = {}
    for tile in tiles:
        if tile.key is not None:
            name = (tile.key.low, tile.key.high, tile.key.bar.tobytes().hex())
            titles = legend.setdefault(name, (tile.key, []))[1]
            if tile.title not in titles:
                titles.append(tile.title)
    return list(legend.values())


def _fitted(rgb: UInt8Array, height: int) -> UInt8Array:
    """Return a picture as large as a tile can show it."""
    scale = min(_WIDTH / rgb.shape[1], height / rgb.shape[0])
    size = (max(1, int(rgb.shape[1] * scale)), max(1, int(rgb.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(rgb, size, interpolation=way), np.uint8)


def _shortened(text: str, room: float) -> str:
    """Return the beginning of a line that has room, with dots where something is left out."""
    while text and _text_width(text) > room:
        text = f"{text.rstrip('.')[:-1]}..."
        if text == "...":
            return ""
    return text


def _text_width(text: str) -> float:
    return text_width(text, _SMALL)
