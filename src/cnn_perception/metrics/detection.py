"""Average precision of detections: PASCAL VOC's and COCO's, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.types import BoolArray, Detections, Float32Array, Float64Array

__all__ = [
    "COCO_IOUS",
    "DetectionMetric",
    "all_point_ap",
    "coco_ap",
    "match_coco",
    "match_voc",
    "pairwise_iou",
]

COCO_IOUS = tuple(0.5 + 0.05 * k for k in range(10))
"""Overlaps over which COCO averages."""

_RECALLS = np.linspace(0.0, 1.0, 101)

HIT, MISS, NOT_COUNTED = 1, 0, -1


def pairwise_iou(first: Float32Array, second: Float32Array) -> Float64Array:
    """Return float64 (N, M) overlaps of corner boxes."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inner = np.clip(sides, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    outer = area_a[:, None] + area_b[None, :] - inner
    overlaps: Float64Array = np.divide(inner, outer, out=np.zeros_like(inner), where=outer > 0)
    return overlaps


def match_voc(iou: Float64Array, difficult: BoolArray, threshold: float) -> NDArray[np.int8]:
    """Return int8 (N,) for the detections of one class in one image, best first.

    iou: (N, M) with the image's M objects. 1 found an object, 0 is false, -1 does not count. As in
    the VOC development kit a detection is compared only with the object that it overlaps most: a
    second detection of an object is false, one of a difficult object does not count.
    """
    result = np.zeros(iou.shape[0], np.int8)
    taken = np.zeros(iou.shape[1], bool)
    if iou.shape[1] == 0:
        return result
    for k, row in enumerate(iou):
        best = int(row.argmax())
        if row[best] < threshold:
            continue
        if difficult[best]:
            result[k] = NOT_COUNTED
        elif not taken[best]:
            taken[best] = True
            result[k] = HIT
    return result


def match_coco(iou: Float64Array, ignored: BoolArray, threshold: float) -> NDArray[np.int8]:
    """Return int8 (N,) as `match_voc` does, by COCO's rule.

    A detection takes the free object that it overlaps most; only when no counted one is left, an
    ignored one.
    """
    result = np.zeros(iou.shape[0], np.int8)
    taken = np.zeros(iou.shape[1], bool)
    for k, row in enumerate(iou):
        for group, verdict in ((~ignored, HIT), (ignored, NOT_COUNTED)):
            free = np.flatnonzero(group & ~taken & (row >= min(threshold, 1 - 1e-10)))
            if free.size:
                # The last of equals, as pycocotools.
                best = free[::-1][int(row[free[::-1]].argmax())]
                taken[best] = True
                result[k] = verdict
                break
    return result


def _curve(
    scores: Float32Array, verdicts: NDArray[np.int8], objects: int
) -> tuple[Float64Array, Float64Array]:
    """Return recall and precision after each counted detection, best first."""
    counted = verdicts != NOT_COUNTED
    order = np.argsort(-scores[counted], kind="mergesort")
    hits = np.cumsum(verdicts[counted][order] == HIT)
    recall = hits / objects
    precision = hits / np.arange(1, len(hits) + 1)
    return recall, precision


def all_point_ap(scores: Float32Array, verdicts: NDArray[np.int8], objects: int) -> float:
    """Return the area under the precision envelope (VOC 2010 and later); NaN without objects."""
    if objects == 0:
        return float("nan")
    recall, precision = _curve(scores, verdicts, objects)
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


def coco_ap(scores: Float32Array, verdicts: NDArray[np.int8], objects: int) -> float:
    """Return the mean precision at 101 recalls; NaN without objects."""
    if objects == 0:
        return float("nan")
    recall, precision = _curve(scores, verdicts, objects)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(envelope, 0.0)[np.minimum(index, len(envelope))].mean())


@dataclass(slots=True, eq=False)
class _ClassRecord:
    """Detections and objects of one class: per image scores, overlaps and difficult flags."""

    scores: list[Float32Array] = field(default_factory=list)
    overlaps: list[Float64Array] = field(default_factory=list)
    difficult: list[BoolArray] = field(default_factory=list)


class DetectionMetric:
    """Collects the detections of many images and computes average precision.

    `max_detections` of an image and class are kept, as COCO does per image and class.
    """

    def __init__(self, classes: int, max_detections: int = 100) -> None:
        self.classes = classes
        self.max_detections = max_detections
        self._records = [_ClassRecord() for _ in range(classes)]

    def update(
        self,
        found: Detections,
        boxes: Float32Array,
        classes: NDArray[np.integer],
        difficult: BoolArray,
    ) -> None:
        """Add one image: what was found, and its objects (M, 4), (M,), (M,).

        Raises ConfigError for a class out of range.
        """
        for name, ids in (("found", found.class_ids), ("true", classes)):
            if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= self.classes):
                raise ConfigError(
                    f"{name} classes {np.unique(ids).tolist()}: ids go from 0 to {self.classes - 1}"
                )
        for index, record in enumerate(self._records):
            mine, wanted = found.class_ids == index, classes == index
            if not mine.any() and not wanted.any():
                continue
            order = np.argsort(-found.scores[mine], kind="mergesort")[: self.max_detections]
            record.scores.append(found.scores[mine][order])
            record.overlaps.append(pairwise_iou(found.boxes[mine][order], boxes[wanted]))
            record.difficult.append(np.asarray(difficult[wanted], bool))

    def objects(self) -> NDArray[np.int64]:
        """Return int64 (classes,): how many objects count."""
        return np.array(
            [sum(int((~flags).sum()) for flags in r.difficult) for r in self._records], np.int64
        )

    def voc_ap(self, iou: float = 0.5) -> Float64Array:
        """Return float64 (classes,) VOC average precision; NaN for classes without objects."""
        return np.array([self._ap(record, iou, voc=True) for record in self._records])

    def coco_ap(self, ious: Sequence[float] = COCO_IOUS) -> Float64Array:
        """Return float64 (len(ious), classes) COCO average precision."""
        return np.array([[self._ap(r, iou, voc=False) for r in self._records] for iou in ious])

    def map_50(self) -> float:
        """Return the mean VOC average precision at IoU 0.5 over classes with objects."""
        return _mean(self.voc_ap(0.5))

    def map_50_95(self) -> float:
        """Return COCO's mean average precision over IoU 0.50:0.95."""
        return _mean(self.coco_ap())

    @staticmethod
    def _ap(record: _ClassRecord, iou: float, *, voc: bool) -> float:
        match, area = (match_voc, all_point_ap) if voc else (match_coco, coco_ap)
        verdicts = [
            match(overlap, flags, iou)
            for overlap, flags in zip(record.overlaps, record.difficult, strict=True)
        ]
        objects = sum(int((~flags).sum()) for flags in record.difficult)
        if not record.scores:
            return float("nan") if objects == 0 else 0.0
        return area(np.concatenate(record.scores), np.concatenate(verdicts), objects)


def _mean(values: Float64Array) -> float:
    """Return the mean of the numbers among `values`; NaN when there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
