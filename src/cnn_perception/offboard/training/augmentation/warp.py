"""Images and their labels under a map that keeps rows and columns."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from cnn_perception.offboard.datasets.dataset import UNLABELLED
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.types import Float32Array, Float64Array, UInt8Array

__all__ = ["FILL", "warp", "window_matrix"]

_WHOLE = 1 - 1e-4
"""Share of an object that is visible when it is not cut: rounding takes a little."""

FILL = (124, 116, 104)
"""RGB beyond the image: ImageNet's mean, which normalisation turns into zeros."""


def window_matrix(window: Float64Array, size: tuple[int, int], *, flip: bool) -> Float64Array:
    """Return the (2, 3) map from an image's pixel edges to those of an input that a window fills.

    window: (left, top, right, bottom) in the image; size: (width, height) of the input; flip:
    whether left and right change places.
    """
    left, top, right, bottom = window
    if flip:
        left, right = right, left
    x, y = size[0] / (right - left), size[1] / (bottom - top)
    return np.array([[x, 0.0, -left * x], [0.0, y, -top * y]])


def warp(
    image: LabelledImage,
    matrix: Float64Array,
    size: tuple[int, int],
    *,
    least_visible: float = 0.0,
    least_side: float = 0.0,
) -> LabelledImage:
    """Return the image and its labels under `matrix`, at a size of (width, height).

    matrix: from `window_matrix`. Color is interpolated, and averaged where it shrinks by two and
    more; the mask takes the nearest pixel. What lies outside of the source is `FILL`, and
    unlabelled. Objects that leave the image are left out. Those of which a share below
    `least_visible` stays, or whose shorter side falls below `least_side`, become difficult.
    """
    full = _moved(image.boxes, matrix)
    boxes = np.clip(full, 0, np.array([*size, *size])).astype(np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    visible = sides.prod(1) / (full[:, 2:] - full[:, :2]).prod(1)
    hard = (visible < least_visible) | (sides.min(1, initial=np.inf) < least_side)
    truncated, areas = image.truncated, image.areas
    if truncated is not None:
        truncated = truncated | (visible < _WHOLE)
    if areas is not None:
        areas = areas * visible * abs(matrix[0, 0] * matrix[1, 1])
    result = replace(
        image,
        color=_warp_color(image.color, matrix, size),
        mask=_warp_mask(image.mask, matrix, size),
        boxes=boxes,
        difficult=image.difficult | hard,
        truncated=truncated,
        areas=areas,
    )
    return result.only(np.all(sides > 0, axis=1))


def _moved(boxes: Float32Array, matrix: Float64Array) -> Float64Array:
    """Return float64 (N, 4) corners under a map, which may swap left and right."""
    ends = boxes.reshape(-1, 2, 2) * matrix[:, :2].diagonal() + matrix[:, 2]
    return np.concatenate([ends.min(1), ends.max(1)], 1)


def _covered(
    matrix: Float64Array, shape: tuple[int, ...], size: tuple[int, int]
) -> tuple[slice, slice]:
    """Return the rows and columns of the result whose middle lies in the source."""
    source = np.array([[0, 0, shape[1], shape[0]]], np.float32)
    ends = np.ceil(_moved(source, matrix)[0] - 0.5)
    left, top, right, bottom = np.clip(ends, 0, [*size, *size]).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def _warp_mask(mask: UInt8Array, matrix: Float64Array, size: tuple[int, int]) -> UInt8Array:
    rows, columns = _covered(matrix, mask.shape, size)
    result = np.full(size[::-1], UNLABELLED, np.uint8)
    y = ((np.arange(rows.start, rows.stop) + 0.5 - matrix[1, 2]) / matrix[1, 1]).astype(int)
    x = ((np.arange(columns.start, columns.stop) + 0.5 - matrix[0, 2]) / matrix[0, 0]).astype(int)
    # Rounding can lead out of the source by one.
    y, x = np.minimum(y, mask.shape[0] - 1), np.minimum(x, mask.shape[1] - 1)
    result[rows, columns] = mask[y][:, x]
    return result


def _warp_color(color: UInt8Array, matrix: Float64Array, size: tuple[int, int]) -> UInt8Array:
    rows, columns = _covered(matrix, color.shape, size)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if not (height > 0 and width > 0):
        return np.full((size[1], size[0], 3), FILL, np.uint8)
    color, matrix = _shrunken(color, matrix, size)
    # OpenCV's coordinates are pixel centres, ours are pixel edges.
    centers = matrix.copy()
    centers[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5 - (columns.start, rows.start)
    inner = cv2.warpAffine(
        color,
        centers,
        (width, height),
        flags=cv2.INTER_LINEAR,
        # Else the color beyond the image would shine through along its edges.
        borderMode=cv2.BORDER_REPLICATE,
    )
    if (width, height) == size:
        return np.asarray(inner, np.uint8)
    result = np.empty((size[1], size[0], 3), np.uint8)
    result[:] = FILL
    result[rows, columns] = inner
    return result


def _shrunken(
    color: UInt8Array, matrix: Float64Array, size: tuple[int, int]
) -> tuple[UInt8Array, Float64Array]:
    """Return the part of an image that is needed, averaged over blocks, and the map from there.

    Interpolation looks at two neighbours a side: from half the size on it would skip pixels.
    """
    scale = math.sqrt(abs(matrix[0, 0] * matrix[1, 1]))
    block = 1 << max(0, math.floor(math.log2(1 / scale)))
    if block == 1:
        return color, matrix
    corners = (np.array([[0.0, 0.0], size]) - matrix[:, 2]) / matrix[:, :2].diagonal()
    low = np.maximum(np.floor(corners.min(0)) - block, 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)) + block, color.shape[1::-1]).astype(int)
    count = (high - low) // block
    if (count < 1).any():
        return color, matrix
    (left, top), (right, bottom) = low, low + count * block
    part = cv2.resize(
        color[top:bottom, left:right], (int(count[0]), int(count[1])), interpolation=cv2.INTER_AREA
    )
    shifted = matrix * (block, block, 1.0)
    shifted[:, 2] += matrix[:, :2] @ low
    return np.asarray(part, np.uint8), shifted
