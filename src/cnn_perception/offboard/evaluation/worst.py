"""Which images a bundle does worst on, and what is wrong with its answers."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cnn_perception.metrics.figures import by_name
from cnn_perception.metrics.matching import FALSE, HIT, match_voc, same_class_iou
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.types import BoolArray, Detections, Float32Array, Float64Array, IntArray

__all__ = [
    "DetectionMistakes",
    "Mistakes",
    "SegmentationMistakes",
    "WorstImages",
    "WrongClass",
    "judge",
]

_IOU = 0.5


class Mistakes(Protocol):
    """What is wrong with the answer to one image; `badness` is 0 when nothing is."""

    @property
    def badness(self) -> float:
        """How wrong it is; larger is worse."""

    def record(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return it for JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectionMistakes:
    """Detections at the bundle's own threshold, and the objects of an image.

    verdicts: int8 (N,), as `match_voc` gives them, on the detections; missed: bool (M,), objects
    that count and were not found.
    """

    found: Detections
    verdicts: NDArray[np.int8]
    missed: BoolArray
    classes: NDArray[np.int32]

    @property
    def badness(self) -> float:
        """Missed objects, and the scores of false alarms."""
        return float(self.missed.sum() + self.found.scores[self.verdicts == FALSE].sum())

    def record(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return names of missed objects, names and scores of false alarms."""
        false = np.flatnonzero(self.verdicts == FALSE)
        return {
            "missed": [labels[index] for index in self.classes[self.missed]],
            "false_alarms": [
                {
                    "label": labels[self.found.class_ids[k]],
                    "score": round(float(self.found.scores[k]), 4),
                }
                for k in false
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationMistakes:
    """The mask answered, and float64 (labels,) the IoU of each label in this image."""

    mask: IntArray
    iou: Float64Array
    mean_iou: float

    @property
    def badness(self) -> float:
        """How far the mean IoU is from 1."""
        return 0.0 if np.isnan(self.mean_iou) else 1.0 - self.mean_iou

    def record(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return IoU by label, of those that occur."""
        shown = {k: v for k, v in by_name(labels, self.iou).items() if v is not None}
        return {"miou": round(self.mean_iou, 4), "iou": shown}


@dataclass(frozen=True, slots=True, eq=False)
class WrongClass:
    """The probabilities, float32 (C,), and the true class."""

    scores: Float32Array
    truth: int

    @property
    def answer(self) -> int:
        """The best class."""
        return int(self.scores.argmax())

    @property
    def badness(self) -> float:
        """The score of a wrong answer; 0 for a right one."""
        return 0.0 if self.answer == self.truth else float(self.scores[self.answer])

    def record(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return both classes with their scores."""
        return {
            "truth": labels[self.truth],
            "truth_score": round(float(self.scores[self.truth]), 4),
            "answer": labels[self.answer],
            "score": round(float(self.scores[self.answer]), 4),
        }


def judge(bundle: ModelBundle, image: LabelledImage, answer: Any, known: BoolArray) -> Mistakes:
    """Return what is wrong with an answer: Detections, a mask, or float32 (C,) probabilities.

    known: bool (labels,), those that count.
    """
    if bundle.task == "detection":
        kept = (answer.scores >= bundle.thresholds.score) & known[answer.class_ids]
        found = Detections(answer.boxes[kept], answer.scores[kept], answer.class_ids[kept])
        return _judge_detections(image, found)
    if bundle.task == "segmentation":
        metric = SegmentationMetric(len(bundle.labels), known=known)
        metric.update(answer, image.mask)
        return SegmentationMistakes(answer, metric.iou(), metric.mean_iou())
    assert image.label is not None
    return WrongClass(answer, image.label)


def _judge_detections(image: LabelledImage, found: Detections) -> DetectionMistakes:
    crowd = np.zeros(len(image.classes), bool) if image.crowd is None else image.crowd
    iou = same_class_iou(found.boxes, found.class_ids, image.boxes, image.classes, crowd)
    verdicts = match_voc(iou, image.difficult, crowd, _IOU)
    missed = ~(image.difficult | crowd)
    if missed.any():
        missed[np.where(crowd, -1.0, iou)[verdicts == HIT].argmax(1)] = False
    return DetectionMistakes(found, verdicts, missed, image.classes)


class WorstImages:
    """Keeps the images with the worst answers."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, LabelledImage, Mistakes]] = []

    def offer(self, image: LabelledImage, mistakes: Mistakes, number: int) -> None:
        """Keep an image if it is among the worst; `number` says which of the images it is."""
        if self._most and mistakes.badness > 0:
            # Of equals the first stays.
            heapq.heappush(self._heap, (mistakes.badness, -number, image, mistakes))
            if len(self._heap) > self._most:
                heapq.heappop(self._heap)

    def ranked(self) -> list[tuple[LabelledImage, Mistakes]]:
        """Return images and what is wrong with their answers, worst first."""
        return [(image, mistakes) for _, _, image, mistakes in sorted(self._heap, reverse=True)]
