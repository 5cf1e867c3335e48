"""Box arithmetic of SSD: offsets from default boxes, corners, and their inverses."""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.types import Float32Array

__all__ = [
    "SSD_VARIANCES",
    "decode_boxes",
    "encode_boxes",
    "to_centers",
    "to_corners",
]

SSD_VARIANCES = (0.1, 0.1, 0.2, 0.2)
"""Scale of the four offsets, as Liu et al. 2016 and torchvision's ``BoxCoder(10, 10, 5, 5)``."""

_LARGEST_LOG_SIZE = math.log(1000.0 / 16.0)
"""Log sizes are limited to this, as in torchvision, so that exp() stays finite."""


def to_corners(boxes: Float32Array) -> Float32Array:
    """Return (..., 4) corners x_min, y_min, x_max, y_max of boxes cx, cy, width, height."""
    half = boxes[..., 2:] * 0.5
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def to_centers(boxes: Float32Array) -> Float32Array:
    """Return (..., 4) cx, cy, width, height of boxes given by their corners."""
    size = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] + size * 0.5, size], axis=-1)


def decode_boxes(
    deltas: Float32Array,
    priors: Float32Array,
    variances: tuple[float, float, float, float] = SSD_VARIANCES,
) -> Float32Array:
    """Return corners of the boxes that a network's offsets mean.

    deltas: float32 (N, 4) tx, ty, tw, th; priors: float32 (N, 4) cx, cy, w, h of the default boxes;
    the result is float32 (N, 4) x_min, y_min, x_max, y_max in the priors' units, not clipped.
    """
    scaled = deltas * np.asarray(variances, np.float32)
    boxes = np.empty_like(scaled)
    boxes[:, :2] = scaled[:, :2] * priors[:, 2:] + priors[:, :2]
    boxes[:, 2:] = np.exp(np.minimum(scaled[:, 2:], _LARGEST_LOG_SIZE)) * priors[:, 2:]
    return to_corners(boxes)


def encode_boxes(
    boxes: Float32Array,
    priors: Float32Array,
    variances: tuple[float, float, float, float] = SSD_VARIANCES,
) -> Float32Array:
    """Return the offsets that `decode_boxes` turns into `boxes`; a training target.

    boxes: float32 (N, 4) corners with positive size; priors: float32 (N, 4) cx, cy, w, h.
    """
    centers = to_centers(boxes)
    deltas = np.empty_like(centers)
    deltas[:, :2] = (centers[:, :2] - priors[:, :2]) / priors[:, 2:]
    deltas[:, 2:] = np.log(centers[:, 2:] / priors[:, 2:])
    return np.asarray(deltas / np.asarray(variances, np.float32), np.float32)
