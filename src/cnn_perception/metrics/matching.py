"""Which detections of an image found an object: PASCAL VOC's rule and COCO's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.types import BoolArray, Float32Array, Float64Array

__all__ = [
    "FALSE",
    "HIT",
    "NOT_COUNTED",
    "box_areas",
    "match_coco",
    "match_voc",
    "pairwise_iou",
    "same_class_iou",
]

HIT, FALSE, NOT_COUNTED = 1, 0, -1
"""Verdicts: found an object, found nothing, and neither for nor against the detector."""


def box_areas(boxes: Float32Array) -> Float64Array:
    """Return float64 (N,) areas of corner boxes."""
    corners = boxes.astype(np.float64)
    areas: Float64Array = (corners[:, 2:] - corners[:, :2]).prod(1)
    return areas


def pairwise_iou(
    first: Float32Array, second: Float32Array, crowd: BoolArray | None = None
) -> Float64Array:
    """Return float64 (N, M) overlaps of corner boxes, intersection over union.

    crowd: bool (M,), where the overlap is the share of the first box that lies in the second: one
    person covers little of a crowd.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inner = np.clip(sides, 0, None).prod(-1)
    own = box_areas(first)[:, None]
    outer = own + box_areas(second) - inner
    if crowd is not None:
        outer = np.where(crowd, own, outer)
    overlaps: Float64Array = np.divide(inner, outer, out=np.zeros_like(inner), where=outer > 0)
    return overlaps


def same_class_iou(
    boxes: Float32Array,
    classes: NDArray[np.integer],
    true_boxes: Float32Array,
    true_classes: NDArray[np.integer],
    crowd: BoolArray,
) -> Float64Array:
    """Return float64 (N, M) `pairwise_iou` of detections with objects; -1 for another class."""
    iou = pairwise_iou(boxes, true_boxes, crowd)
    return np.where(classes[:, None] == true_classes, iou, -1.0)


def match_voc(
    iou: Float64Array, difficult: BoolArray, crowd: BoolArray, threshold: float
) -> NDArray[np.int8]:
    """Return int8 (N,) verdicts on the detections of one image, best first.

    iou: (N, M) with the image's M objects, negative for those of another class. As in the VOC
    development kit a detection is compared only with the object that it overlaps most: a second
    detection of an object is false, one of a difficult object does not count. Crowds, which VOC
    does not have, are not compared with, but what is false and lies in one does not count.
    """
    verdicts = np.zeros(iou.shape[0], np.int8)
    if iou.size == 0:
        return verdicts
    single = np.where(crowd, -1.0, iou)
    best = single.argmax(1)
    reached = single.max(1) >= threshold
    verdicts[reached & difficult[best]] = NOT_COUNTED
    hopeful = np.flatnonzero(reached & ~difficult[best])
    first = np.full(iou.shape[1], -1)
    first[best[hopeful[::-1]]] = hopeful[::-1]  # of several the last assignment stays
    verdicts[first[first >= 0]] = HIT
    in_crowd = np.where(crowd, iou, -1.0).max(1) >= threshold
    verdicts[in_crowd & (verdicts == FALSE)] = NOT_COUNTED
    return verdicts


def match_coco(
    iou: Float64Array, ignored: BoolArray, crowd: BoolArray, thresholds: Float64Array
) -> NDArray[np.int8]:
    """Return int8 (S, T, N) verdicts on the detections of one image, best first, by COCO's rule.

    iou: (N, M) with the image's M objects, negative for those of another class; ignored: bool
    (S, M), a row for each of S ways to look at the objects; crowd: bool (M,); thresholds: (T,). A
    detection takes the free object that it overlaps most; only when no counted one is in reach, an
    ignored one. A crowd is never taken. Source: cocoapi, cocoeval.py, ``evaluateImg``.
    """
    objects = iou.shape[1]
    verdicts = np.zeros((len(ignored), len(thresholds), len(iou)), np.int8)
    limits = np.minimum(thresholds, 1 - 1e-10)
    free = np.ones((len(ignored), len(thresholds), objects), bool)
    reachable = iou >= limits.min()
    for k in np.flatnonzero(reachable.any(1)):
        near = np.flatnonzero(reachable[k])
        # Counted objects before ignored ones, then by overlap; of equals the last, as pycocotools.
        worth = iou[k, near].argsort(kind="stable").argsort() + objects * ~ignored[:, near]
        in_reach = free[:, :, near] & (iou[k, near] >= limits[:, None])
        value = np.where(in_reach, worth[:, None, :], -1)
        best = value.argmax(-1)
        view, level = np.nonzero(value.max(-1) >= 0)
        chosen = near[best[view, level]]
        verdicts[view, level, k] = np.where(ignored[view, chosen], NOT_COUNTED, HIT)
        free[view, level, chosen] = crowd[chosen]
    return verdicts
