"""Random variations of a labelled image, in OpenCV and numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.training.config import AugmentationConfig
from cnn_perception.types import BoolArray, Float32Array, Float64Array, UInt8Array

__all__ = ["Augmenter", "vary_colors", "warp"]

_UNLABELLED = 255
_LEAST_SIDE = 4.0
"""Objects with a shorter side, pixels, are neither taught nor punished."""


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Mirrors, crops or shrinks, and recolours images as `config` says."""

    config: AugmentationConfig

    def __call__(self, image: LabelledImage, rng: np.random.Generator) -> LabelledImage:
        """Return a variation; `difficult` marks what must be neither taught nor punished."""
        height, width = image.color.shape[:2]
        matrix = self._matrix(width, height, rng)
        varied = warp(image, matrix, self.config.least_visible)
        return LabelledImage(
            vary_colors(varied.color, self.config, rng),
            varied.mask,
            varied.boxes,
            varied.classes,
            varied.difficult,
        )

    def _matrix(self, width: int, height: int, rng: np.random.Generator) -> Float64Array:
        """Return the (2, 3) map of source pixels to result pixels."""
        config = self.config
        scale = np.ones(2)
        if rng.random() < config.zoom:
            zoom = np.exp(rng.uniform(np.log(config.zoom_min), np.log(config.zoom_max)))
            ratio = np.exp(rng.uniform(-0.5, 0.5) * np.log(config.stretch))
            scale = np.array([zoom * ratio, zoom / ratio])
        size = np.array([width, height])
        # Any place where the smaller of source and result lies within the larger.
        shift = rng.random(2) * (size - scale * size)
        if rng.random() < config.flip:
            return np.array([[-scale[0], 0, width - shift[0]], [0, scale[1], shift[1]]])
        return np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])


def warp(image: LabelledImage, matrix: Float64Array, least_visible: float) -> LabelledImage:
    """Return the image under an axis-aligned map of pixel edges, at the same size.

    Objects that leave the image go; those of which a share below `least_visible` stays, or whose
    side falls below 4 pixels, become difficult. What lies outside the source is unlabelled grey.
    """
    height, width = image.color.shape[:2]
    color: NDArray[Any] = image.color
    mask: NDArray[Any] = image.mask
    if not np.array_equal(matrix, [[1, 0, 0], [0, 1, 0]]):
        # OpenCV's coordinates are pixel centres, ours are pixel edges.
        centers = matrix.copy()
        centers[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        color = cv2.warpAffine(
            image.color,
            centers,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(124, 116, 104),
        )
        mask = cv2.warpAffine(
            image.mask,
            centers,
            (width, height),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=_UNLABELLED,
        )
    boxes, kept, hard = _warp_boxes(image.boxes, matrix, (width, height), least_visible)
    return LabelledImage(
        np.asarray(color, np.uint8),
        np.asarray(mask, np.uint8),
        boxes[kept],
        image.classes[kept],
        image.difficult[kept] | hard[kept],
    )


def _warp_boxes(
    boxes: Float32Array, matrix: Float64Array, size: tuple[int, int], least_visible: float
) -> tuple[Float32Array, BoolArray, BoolArray]:
    """Return clipped corners, which boxes still show, and which show too little."""
    xs = boxes[:, [0, 2]] * matrix[0, 0] + matrix[0, 2]
    ys = boxes[:, [1, 3]] * matrix[1, 1] + matrix[1, 2]
    moved = np.stack([xs.min(1), ys.min(1), xs.max(1), ys.max(1)], 1)
    area = (moved[:, 2] - moved[:, 0]) * (moved[:, 3] - moved[:, 1])
    clipped = np.clip(moved, 0, np.array([*size, *size]))
    sides = clipped[:, 2:] - clipped[:, :2]
    kept: NDArray[np.bool_] = (sides > 1.0).all(1)
    hard = (sides.prod(1) < least_visible * area) | (sides.min(1, initial=np.inf) < _LEAST_SIDE)
    return clipped.astype(np.float32), kept, hard


def vary_colors(
    color: UInt8Array, config: AugmentationConfig, rng: np.random.Generator
) -> UInt8Array:
    """Return RGB with random hue, saturation, brightness, contrast and colour cast."""
    result = color
    if rng.random() < 0.5 and (config.hue or config.saturation):
        hsv = cv2.cvtColor(result, cv2.COLOR_RGB2HSV)
        levels = np.arange(256)
        tables = np.stack(
            [
                (levels + rng.integers(-config.hue, config.hue + 1)) % 180,
                levels * (1 + rng.uniform(-config.saturation, config.saturation)),
                levels,
            ],
            1,
        )
        hsv = cv2.LUT(hsv, np.clip(tables, 0, 255).astype(np.uint8)[None])
        result = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
    gain = 1 + rng.uniform(-config.contrast, config.contrast)
    cast = gain * (1 + rng.uniform(-0.3, 0.3, 3) * config.contrast)
    shift = 255 * rng.uniform(-config.brightness, config.brightness)
    curve = (np.arange(256)[:, None] - 128) * cast + 128 + shift
    table = np.clip(curve, 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(result, table), np.uint8)
