"""Overlays: boxes with labels, blended masks, heat maps. Pictures are RGB uint8 (H, W, 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.image.text import LIGHT, darken, measure, text_size, write
from cnn_perception.types import (
    BoolArray,
    Detections,
    Float32Array,
    Float64Array,
    IntArray,
    UInt8Array,
)

__all__ = [
    "Color",
    "blend_heatmap",
    "blend_mask",
    "blend_signed",
    "color_mask",
    "draw_boxes",
    "draw_caption",
    "draw_detections",
    "palette",
]

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

_DARK = (24, 24, 28)
# Oklab to cube roots of cone responses, and those cubed to linear sRGB.
_LMS_OF_OKLAB = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
_RGB_OF_LMS = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)


def palette(count: int, *, background: bool = False) -> UInt8Array:
    """Return `count` distinct colors, uint8 (count, 3) RGB, always the same ones.

    Each is the color of medium lightness farthest from all before it in Oklab (Ottosson 2020), so
    a class keeps its color however many there are; they repeat after 256. With `background` the
    first is black and the others are those of classes 0, 1, ... of a palette without it.
    """
    colors = _distinct_colors()[np.arange(count - background) % 256]
    return np.asarray(np.concatenate([np.zeros((int(background), 3), np.uint8), colors]), np.uint8)


def draw_detections(
    rgb: UInt8Array,
    detections: Detections,
    labels: Sequence[str] | Mapping[int, str],
    colors: UInt8Array | None = None,
) -> UInt8Array:
    """Return a copy of the picture with boxes, class names and scores, best on top.

    `labels` gives the name of a class id, `colors` uint8 (n, 3) its color (default: `palette`).
    """
    order = np.argsort(-detections.scores, kind="stable")
    class_ids = detections.class_ids[order].tolist()
    scores = detections.scores[order].tolist()
    texts = [
        f"{_name(labels, index)} {score:.2f}"
        for index, score in zip(class_ids, scores, strict=True)
    ]
    shades = [_shade(index, colors) for index in class_ids]
    return draw_boxes(rgb, detections.boxes[order], texts, shades)


def draw_boxes(
    rgb: UInt8Array, boxes: Float32Array, texts: Sequence[str], colors: Sequence[Color]
) -> UInt8Array:
    """Return a copy of the picture with boxes, each with a text on a chip, the first on top.

    boxes: float32 (N, 4) corners in pixels; those that are not finite are left out.
    """
    picture: UInt8Array = rgb.copy()
    size = text_size(picture)
    line = max(2, round(2 * size / 0.5))
    limit = np.array(picture.shape[1::-1] * 2) - 1
    finite = np.isfinite(boxes).all(axis=1)
    corners = np.clip(np.round(boxes[finite]), 0, limit).astype(int).tolist()
    shown = [
        (corner, texts[k], colors[k])
        for corner, k in zip(corners, np.flatnonzero(finite).tolist(), strict=True)
    ]
    for (x0, y0, x1, y1), _, color in reversed(shown):
        cv2.rectangle(picture, (x0, y0), (x1, y1), _DARK, line + 2, cv2.LINE_AA)
        cv2.rectangle(picture, (x0, y0), (x1, y1), color, line, cv2.LINE_AA)
    taken: list[tuple[int, int, int, int]] = []
    for corner, text, color in shown:
        taken.append(_chip(picture, text, corner, color, size, taken))
    return picture


def color_mask(mask: IntArray, palette: UInt8Array) -> UInt8Array:
    """Return class indices (H, W) as RGB uint8 (H, W, 3).

    An index beyond the palette's n rows takes the color of index modulo n.
    """
    if len(palette) == 0:
        raise ConfigError("the palette is empty: give at least one color")
    if mask.dtype == np.uint8:
        table = palette[np.arange(256) % len(palette)].reshape(256, 1, 3)
        # OpenCV's fastest look-up of three channels at once.
        return np.asarray(cv2.applyColorMap(np.ascontiguousarray(mask), table), np.uint8)
    return np.take(palette, mask, axis=0, mode="wrap")


def blend_mask(
    rgb: UInt8Array, mask: IntArray, palette: UInt8Array, alpha: float = 0.5
) -> UInt8Array:
    """Return the picture with each class tinted in its color and outlined; class 0 stays as it is.

    rgb: uint8 (H, W, 3); mask: class indices (H, W); palette: uint8 (n, 3); alpha: opacity, 0..1.
    """
    _same_size(rgb, mask, "mask")
    colors = color_mask(mask, palette)
    blended = cv2.addWeighted(rgb, 1.0 - alpha, colors, alpha, 0.0)
    background = (mask == 0).view(np.uint8)
    cv2.copyTo(rgb, background, blended)
    # The outline is the class's own color at nearly full strength, on the class's side.
    edges = np.zeros(mask.shape, np.bool_)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= right
    edges[:, :-1] |= right
    edges &= mask != 0
    strong = min(1.0, alpha + 0.35) if alpha > 0 else 0.0
    outline = cv2.addWeighted(rgb, 1.0 - strong, colors, strong, 0.0)
    return np.asarray(cv2.copyTo(outline, edges.view(np.uint8), blended), np.uint8)


def blend_heatmap(
    rgb: UInt8Array, heat: Float32Array, alpha: float = 0.5, caption: str = ""
) -> UInt8Array:
    """Return the picture under a heat map, with a caption along its lower edge.

    rgb: uint8 (H, W, 3); heat: (H, W) in [0, 1], NaN counts as 0; alpha: opacity where heat is 1.
    The colors are those of the inferno map, whose brightness grows evenly; cold parts let the
    picture through, a little darkened.
    """
    _same_size(rgb, heat, "heat map")
    # What is not above 0, NaN too, becomes 0.
    _, positive = cv2.threshold(np.asarray(heat, np.float32), 0, 0, cv2.THRESH_TOZERO)
    picture = _blend(rgb, cv2.convertScaleAbs(positive, alpha=255), alpha, signed=False)
    return draw_caption(picture, caption) if caption else picture


def blend_signed(rgb: UInt8Array, values: Float32Array, alpha: float = 0.5) -> UInt8Array:
    """Return the picture under values (H, W) in [-1, 1]: above 0 orange, below blue, NaN as 0.

    Equally bright colors are equally far from 0, which lets the picture through, a little
    darkened.
    """
    _same_size(rgb, values, "map")
    levels = np.round(np.clip(np.nan_to_num(values), -1, 1) * 127 + 128).astype(np.uint8)
    return _blend(rgb, levels, alpha, signed=True)


def _blend(rgb: UInt8Array, levels: Any, alpha: float, *, signed: bool) -> UInt8Array:
    tint, keep = _blend_tables(round(float(np.clip(alpha, 0, 1)) * 255), signed)
    picture = cv2.cvtColor(cv2.LUT(levels, keep), cv2.COLOR_GRAY2RGB)
    # In place: fresh memory for a picture costs more than what is written into it.
    cv2.multiply(rgb, picture, dst=picture, scale=1 / 255)
    return np.asarray(cv2.add(picture, cv2.applyColorMap(levels, tint), dst=picture), np.uint8)


def draw_caption(rgb: UInt8Array, text: str) -> UInt8Array:
    """Return a copy of the picture with a line of text in a dark strip along its lower edge."""
    picture: UInt8Array = rgb.copy()
    size = text_size(picture)
    width, height, base = measure(text, size)
    if width > picture.shape[1] - height:
        size *= max(0.4, (picture.shape[1] - height) / width)
        width, height, base = measure(text, size)
    pad = max(3, round(height * 0.55))
    top = max(0, picture.shape[0] - height - base - 2 * pad)
    darken(picture[top:])
    write(picture, text, (pad + 2, picture.shape[0] - pad - base), size, LIGHT)
    return picture


@lru_cache(maxsize=8)
def _blend_tables(alpha: int, signed: bool) -> tuple[UInt8Array, UInt8Array]:
    """Return, per level, the color to be added and the share of the picture that is kept.

    uint8 (256, 1, 3) and (256,).
    """
    levels = np.arange(256, dtype=np.uint8)
    if signed:
        strength = np.minimum(np.abs(levels - 128.0) / 127, 1)
        colors = _diverging_colors(strength, levels >= 128)
    else:
        strength = levels / 255.0
        inferno = cv2.applyColorMap(levels[:, None], cv2.COLORMAP_INFERNO)
        colors = np.asarray(inferno[:, 0, ::-1], np.float64)
    weight = alpha / 255.0 * (0.35 + 0.65 * (strength if signed else np.sqrt(strength)))
    tint = np.round(colors * weight[:, None]).astype(np.uint8)
    return tint[:, None], np.round(255 * (1 - weight)).astype(np.uint8)


def _diverging_colors(strength: Float64Array, positive: BoolArray) -> Float64Array:
    """Return orange and blue, 0 to 255, whose lightness in Oklab is even in the strength, 0 to 1.

    Each is as strong as a screen can show it, up to a limit.
    """
    hue = np.radians(np.where(positive, 60.0, 245.0))[:, None]
    chroma = np.linspace(0, 0.13, 53)
    lightness = np.broadcast_to(0.84 * strength[:, None], (len(strength), len(chroma)))
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    linear = _linear_of_oklab(lab)
    shown = np.all((linear >= -1e-9) & (linear <= 1), axis=-1)
    strongest = shown.shape[1] - 1 - shown[:, ::-1].argmax(1)
    return 255 * _encoded(np.maximum(linear[np.arange(len(strength)), strongest], 0))


def _linear_of_oklab(lab: Float64Array) -> Float64Array:
    """Return linear sRGB (..., 3), which a screen can show where it is in [0, 1]."""
    return np.asarray((lab @ np.transpose(_LMS_OF_OKLAB)) ** 3 @ np.transpose(_RGB_OF_LMS))


def _encoded(linear: Float64Array) -> Float64Array:
    """Return the sRGB values of linear ones, both 0 to 1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _chip(
    picture: UInt8Array,
    text: str,
    corners: list[int],
    shade: Color,
    size: float,
    taken: list[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Write a label on a filled chip at the box, where it hides no other chip; return its place."""
    rows, columns = picture.shape[:2]
    width, height, base = measure(text, size)
    pad = max(2, round(height * 0.35))
    wide, tall = width + 2 * pad, height + base + 2 * pad
    x0, y0, _, y1 = corners
    x = max(0, min(x0, columns - wide))
    places = [(x, y) for y in (y0 - tall, y0, y1, y1 - tall) if 0 <= y <= rows - tall]
    places.append((x, max(0, min(y0, rows - tall))))
    free = (p for p in places if not any(_overlap((*p, wide, tall), other) for other in taken))
    x, y = next(free, places[0])
    cv2.rectangle(picture, (x, y), (x + wide - 1, y + tall - 1), shade, cv2.FILLED)
    luminance = float(np.dot(shade, (0.299, 0.587, 0.114)))
    color = _DARK if luminance > 120 else LIGHT
    write(picture, text, (x + pad, y + pad + height), size, color)
    return x, y, wide, tall


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


@lru_cache(maxsize=1)
def _distinct_colors() -> UInt8Array:
    """Return 256 colors by farthest point sampling of the part of Oklab that a screen can show."""
    lightness, chroma, hue = np.meshgrid(
        np.linspace(0.5, 0.86, 10),
        np.linspace(0.1, 0.2, 5),
        np.radians(30) + np.linspace(0, 2 * np.pi, 90, endpoint=False),
    )
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1).reshape(-1, 3)
    linear = _linear_of_oklab(lab)
    shown = ((linear >= 0) & (linear <= 1)).all(axis=1)
    lab, linear = lab[shown], linear[shown]
    chosen = [int(np.argmin(np.linalg.norm(lab - (0.68, 0.16, 0.09), axis=1)))]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < 256:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(distance)))
    return np.asarray(np.round(_encoded(linear[chosen]) * 255), np.uint8)


def _shade(class_id: int, colors: UInt8Array | None) -> Color:
    table = _distinct_colors() if colors is None or len(colors) == 0 else colors
    red, green, blue = table[class_id % len(table)].tolist()
    return red, green, blue


def _name(labels: Sequence[str] | Mapping[int, str], class_id: int) -> str:
    if isinstance(labels, Mapping):
        return labels.get(class_id, f"class {class_id}")
    return labels[class_id] if 0 <= class_id < len(labels) else f"class {class_id}"


def _same_size(rgb: UInt8Array, over: NDArray[Any], what: str) -> None:
    if over.shape != rgb.shape[:2]:
        raise ConfigError(
            f"the {what} has shape {over.shape} and the picture {rgb.shape}: give both in one size"
        )
