"""Masks of MS COCO: polygons, and run lengths as numbers or as compressed text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_perception.errors import DatasetError
from cnn_perception.types import BoolArray, Float64Array, Int64Array

__all__ = ["decode_counts", "decode_segmentation", "run_length_mask"]


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
    sides = np.array([size[1], size[0]], np.float64)
    polygons = []
    for polygon in segmentation:
        points = _numbers(polygon, "a polygon")
        if points.size < 6 or points.size % 2:
            raise DatasetError(
                f"a polygon has {points.size} numbers: 3 points or more have x and y"
            )
        corners = points.reshape(-1, 2)
        if (corners < -sides).any() or (corners > 2 * sides).any():
            raise DatasetError("a polygon leaves the image by more than the image's size")
        polygons.append(points.tolist())
    from pycocotools import mask as masks

    union = masks.merge(masks.frPyObjects(polygons, *size))
    return np.asarray(masks.decode(union), bool)


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


def _numbers(values: Any, what: str) -> Float64Array:
    try:
        numbers = np.asarray(values, np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise DatasetError(f"{what} holds something other than numbers") from error
    if not isinstance(values, Sequence) or numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise DatasetError(f"{what} is no list of finite numbers")
    return numbers
