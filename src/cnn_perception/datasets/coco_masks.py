"""Masks of MS COCO: polygons, and run lengths as numbers or as compressed text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_perception.errors import DatasetError
from cnn_perception.types import BoolArray, Float64Array, Int64Array

__all__ = ["decode_counts", "decode_segmentation", "polygon_mask", "run_length_mask"]

_FINER = 5.0
"""pycocotools draws outlines on a grid that is five times finer."""


def decode_segmentation(segmentation: Any, size: tuple[int, int]) -> BoolArray:
    """Return the bool (height, width) mask of an annotation's "segmentation".

    A list holds polygons [x, y, x, y, ...], whose union counts; an object holds "size" [height,
    width] and "counts", numbers or compressed text. size: (height, width). Raises DatasetError
    without a file name for anything malformed. Source: cocoapi, common/maskApi.c.
    """
    if isinstance(segmentation, dict):
        said = segmentation.get("size")
        if said != list(size):
            raise DatasetError(
                f"the run-length mask is for [height, width] {said}, the image has {list(size)}"
            )
        counts = segmentation.get("counts")
        if isinstance(counts, str):
            return run_length_mask(decode_counts(counts), size)
        runs = np.clip(_numbers(counts, "counts"), -1, size[0] * size[1] + 1)
        return run_length_mask(runs.astype(np.int64), size)
    if not isinstance(segmentation, list) or not segmentation:
        raise DatasetError("the segmentation is missing: label it, or do without masks")
    mask = np.zeros(size, bool)
    for polygon in segmentation:
        points = _numbers(polygon, "a polygon")
        if points.size < 6 or points.size % 2:
            raise DatasetError(
                f"a polygon has {points.size} numbers: 3 points or more have x and y"
            )
        sides = np.array([size[1], size[0]], np.float64)
        corners = points.reshape(-1, 2)
        if (corners < -sides).any() or (corners > 2 * sides).any():
            raise DatasetError("a polygon leaves the image by more than the image's size")
        mask |= polygon_mask(corners, size)
    return mask


def decode_counts(text: str) -> Int64Array:
    """Return the run lengths in COCO's compressed text.

    Numbers are written in groups of 5 bits, lowest first, as characters from "0" on; bit 6 says
    that more follow, the last group is signed. From the fourth number on they are differences to
    the one before the last (rleFrString). Raises DatasetError for text that is something else.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 30:
            raise DatasetError(f"run lengths hold {character!r}: they are damaged")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise DatasetError("run lengths end within a number: they are cut short")
    return np.array(runs, np.int64)


def run_length_mask(runs: Int64Array, size: tuple[int, int]) -> BoolArray:
    """Return bool (height, width): runs of 0 and 1 in turn, starting with 0, column by column."""
    height, width = size
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise DatasetError(
            f"run lengths cover {int(runs.sum())} pixels, the image has {height * width}"
        )
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask: BoolArray = values.reshape(width, height).T
    return mask


def polygon_mask(points: Float64Array, size: tuple[int, int]) -> BoolArray:
    """Return the bool (height, width) mask of a polygon, points float64 (N, 2), as pycocotools.

    The outline is walked on a grid five times finer; wherever it passes the middle of a column of
    pixels, the column changes between outside and inside from that row on (rleFrPoly).
    """
    height, width = size
    u, v = _outline(np.trunc(_FINER * points + 0.5).astype(np.int64))
    step = np.flatnonzero(u[1:] != u[:-1])
    # A half-integer position on the fine grid is where two of its columns meet.
    column = (np.minimum(u[step], u[step + 1]) + 0.5) / _FINER - 0.5
    row = (np.minimum(v[step], v[step + 1]) + 0.5) / _FINER - 0.5
    crossing = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    x = column[crossing].astype(np.int64)
    y = np.ceil(np.clip(row[crossing], 0, height)).astype(np.int64)
    changes = np.bincount(x * height + y, minlength=height * width + 1)[: height * width]
    inside = np.cumsum(changes) % 2 == 1
    mask: BoolArray = inside.reshape(width, height).T
    return mask


def _outline(corners: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the points of the closed outline through integer corners (N, 2), in order."""
    columns, rows = [], []
    for (x0, y0), (x1, y1) in zip(corners.tolist(), np.roll(corners, -1, 0).tolist(), strict=True):
        flat = abs(x1 - x0) >= abs(y1 - y0)
        (a0, b0), (a1, b1) = ((x0, y0), (x1, y1)) if flat else ((y0, x0), (y1, x1))
        flip = a0 > a1
        if flip:
            a0, b0, a1, b1 = a1, b1, a0, b0
        slope = (b1 - b0) / (a1 - a0) if a1 > a0 else 0.0
        along = np.arange(a1 - a0 + 1)
        across = np.trunc(b0 + slope * along + 0.5).astype(np.int64)
        if flip:
            along, across = along[::-1], across[::-1]
        columns.append(along + a0 if flat else across)
        rows.append(across if flat else along + a0)
    return np.concatenate(columns), np.concatenate(rows)


def _numbers(values: Any, what: str) -> Float64Array:
    try:
        numbers = np.asarray(values, np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise DatasetError(f"{what} holds something other than numbers") from error
    if not isinstance(values, Sequence) or numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise DatasetError(f"{what} is no list of finite numbers")
    return numbers
