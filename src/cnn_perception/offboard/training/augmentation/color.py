"""Colors as under another light and camera: one linear map of RGB for all changes together."""

from __future__ import annotations

import cv2
import numpy as np

from cnn_perception.offboard.training.augmentation.config import AugmentationConfig
from cnn_perception.types import Float64Array, UInt8Array

__all__ = ["color_matrix", "hue_matrix", "recolored", "saturation_matrix"]

_LUMA = np.array([0.299, 0.587, 0.114])
"""Share of red, green and blue in a grey level (ITU-R BT.601)."""


def color_matrix(config: AugmentationConfig, rng: np.random.Generator) -> Float64Array:
    """Return a random map of RGB, float64 (3, 4): three factors and a shift for each channel.

    The changes are SSD's (Liu et al. 2016, after Howard 2013): brightness, contrast, saturation,
    hue and the order of the channels, each with the chance `distort`; besides, the color of the
    light. Hue and saturation are linear here, so that one pass over the image does them all.
    """
    happens = rng.random(6) < config.distort
    shift, gain, saturation, hue = rng.uniform(-1.0, 1.0, 4)
    cast = 1 + config.cast * rng.uniform(-1.0, 1.0, 3)
    order = rng.permutation(3)
    factors = np.eye(3)
    if happens[0]:
        factors = saturation_matrix(1 + config.saturation * saturation) @ factors
    if happens[1]:
        factors = hue_matrix(config.hue * hue) @ factors
    offset = np.zeros(3)
    if happens[2]:
        offset += 255 * config.brightness * shift
    result = np.column_stack([factors, offset])
    if happens[3]:
        result *= 1 + config.contrast * gain
    if happens[4]:
        result *= cast[:, None]
    if config.shuffle and happens[5]:
        result = result[order]
    return result


def saturation_matrix(factor: float) -> Float64Array:
    """Return the (3, 3) map that moves colors away from the grey of their brightness."""
    return factor * np.eye(3) + (1 - factor) * _LUMA


def hue_matrix(degrees: float) -> Float64Array:
    """Return the (3, 3) map that turns colors about grey; 120 degrees make red green."""
    angle = np.radians(degrees)
    axis = np.full(3, 1 / np.sqrt(3))
    across = np.cross(np.eye(3), axis)
    along = np.outer(axis, axis)
    turn: Float64Array = along + np.cos(angle) * (np.eye(3) - along) + np.sin(angle) * across
    return turn


def recolored(color: UInt8Array, matrix: Float64Array) -> UInt8Array:
    """Return RGB uint8 (H, W, 3) under a (3, 4) map, rounded and limited to 0..255."""
    if np.array_equal(matrix, np.eye(3, 4)):
        return color
    return np.asarray(cv2.transform(color, matrix), np.uint8)
