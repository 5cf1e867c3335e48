"""Which part of an image fills the input: a window in its pixels, which may reach beyond it."""

from __future__ import annotations

import numpy as np

from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.training.augmentation.config import AugmentationConfig
from cnn_perception.types import BoolArray, Float32Array, Float64Array

__all__ = ["centers_inside", "choose_window"]

_WHOLE = 1.0
_LEAST_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, _WHOLE)
"""Overlap (IoU) that a crop must have with one of the objects in it; _WHOLE takes all there is."""

_TRIES = 40
"""Crops that are drawn for one overlap, as in torchvision; SSD's own code draws 50."""

_RATIOS = (0.5, 2.0)
_IMAGENET_RATIOS = (3 / 4, 4 / 3)
_IMAGENET_TRIES = 10


def choose_window(
    image: LabelledImage,
    size: tuple[int, int],
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> Float64Array:
    """Return the window (left, top, right, bottom), float64 (4,), that is to fill the input.

    Coordinates are pixel edges of the image: (0, 0, width, height) is all of it. size: of the
    input, (width, height).
    """
    height, width = image.mask.shape
    whole = np.array([0.0, 0.0, width, height])
    if config.geometry == "zoom":
        return _zoom(whole, config, rng)
    if config.geometry == "ssd":
        return _iou_crop(_expand(whole, config, rng), image.boxes, config.crop_min, rng)
    if config.geometry == "resized_crop":
        return _resized_crop(whole, config.area_min, rng)
    if config.geometry == "scale":
        return _scale(whole, np.array(size, np.float64), config, rng)
    return whole


def centers_inside(boxes: Float32Array, windows: Float64Array) -> BoolArray:
    """Return bool (..., N): which of N boxes have their middle within windows (..., 4)."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, high = windows[..., None, :2], windows[..., None, 2:]
    inside: BoolArray = np.all((centers > low) & (centers < high), axis=-1)
    return inside


def _zoom(
    whole: Float64Array, config: AugmentationConfig, rng: np.random.Generator
) -> Float64Array:
    """Return a window magnified by zoom_min to zoom_max, with the image in it or in the image."""
    if rng.random() >= config.zoom:
        return whole
    zoom = np.exp(rng.uniform(np.log(config.zoom_min), np.log(config.zoom_max)))
    ratio = np.exp(rng.uniform(-0.5, 0.5) * np.log(config.stretch))
    return _placed(whole, whole[2:] / (zoom * ratio, zoom / ratio), rng)


def _scale(
    whole: Float64Array, size: Float64Array, config: AugmentationConfig, rng: np.random.Generator
) -> Float64Array:
    """Return a window with the input's aspect; at magnification 1 the image just covers it."""
    magnification = rng.uniform(config.scale_min, config.scale_max)
    return _placed(whole, size / (magnification * (size / whole[2:]).max()), rng)


def _resized_crop(whole: Float64Array, area_min: float, rng: np.random.Generator) -> Float64Array:
    """Return a crop of a random area and aspect (Szegedy et al. 2015, as torchvision has it)."""
    area = whole[2] * whole[3] * rng.uniform(area_min, 1.0, _IMAGENET_TRIES)
    least, most = _IMAGENET_RATIOS
    ratio = np.exp(rng.uniform(np.log(least), np.log(most), _IMAGENET_TRIES))
    sides = np.sqrt(np.stack([area * ratio, area / ratio], 1))
    fits = (sides <= whole[2:]).all(1)
    if fits.any():
        return _placed(whole, sides[fits.argmax()], rng)
    # The largest crop from the middle whose aspect is allowed.
    side = np.minimum(whole[2:], whole[[3, 2]] * (most, 1 / least))
    corner = (whole[2:] - side) / 2
    return np.concatenate([corner, corner + side])


def _expand(
    whole: Float64Array, config: AugmentationConfig, rng: np.random.Generator
) -> Float64Array:
    """Return a canvas, up to expand_max times as wide and high, with the image somewhere on it."""
    if rng.random() >= config.expand:
        return whole
    return _placed(whole, whole[2:] * rng.uniform(1.0, config.expand_max), rng)


def _iou_crop(
    canvas: Float64Array, boxes: Float32Array, crop_min: float, rng: np.random.Generator
) -> Float64Array:
    """Return a crop that shows some object well enough, or all (Liu et al. 2016, section 2.2).

    The crop holds the middle of at least one object that it overlaps as much as was drawn.
    """
    while True:
        least = rng.choice(_LEAST_OVERLAPS)
        if least == _WHOLE:
            return canvas
        sides = (canvas[2:] - canvas[:2]) * rng.uniform(crop_min, 1.0, (_TRIES, 2))
        windows = _placed(canvas, sides, rng)
        ratio = sides[:, 0] / sides[:, 1]
        good = (ratio >= _RATIOS[0]) & (ratio <= _RATIOS[1])
        if len(boxes):
            shown = centers_inside(boxes, windows) & (_overlaps(windows, boxes) >= least)
            good &= shown.any(1)
        if good.any():
            first: Float64Array = windows[good.argmax()]
            return first


def _overlaps(windows: Float64Array, boxes: Float32Array) -> Float64Array:
    """Return the IoU of windows (K, 4) and boxes (N, 4), float64 (K, N)."""
    sides = np.minimum(windows[:, None, 2:], boxes[:, 2:]) - np.maximum(
        windows[:, None, :2], boxes[:, :2]
    )
    inner = np.clip(sides, 0, None).prod(-1)
    outer = (windows[:, 2:] - windows[:, :2]).prod(1)[:, None] + (boxes[:, 2:] - boxes[:, :2]).prod(
        1
    )
    overlaps: Float64Array = inner / (outer - inner)
    return overlaps


def _placed(frame: Float64Array, sides: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Return windows with sides (..., 2) at random, each in the frame or around it."""
    corner = frame[:2] + rng.random(sides.shape) * (frame[2:] - frame[:2] - sides)
    return np.concatenate([corner, corner + sides], -1)
