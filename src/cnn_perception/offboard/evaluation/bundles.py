"""How good a model bundle is on labelled images, run as a robot runs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from cnn_perception.classification.classifier import Classifier
from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.detection.detector import MEASURING_SCORE, Detector
from cnn_perception.errors import DatasetError
from cnn_perception.metrics.classification import ClassificationMetric
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.metrics.figures import by_name, rounded_all
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.segmentation.segmenter import Segmenter
from cnn_perception.types import BoolArray, Detections, Float32Array, IntArray

__all__ = ["ClassifierRun", "DetectorRun", "Run", "SegmenterRun", "measure_bundle", "start_run"]


class Run(Protocol):
    """A bundle at work on labelled images, and the metric of its answers."""

    bundle: ModelBundle
    images: int

    @property
    def metric(self) -> DetectionMetric | SegmentationMetric | ClassificationMetric:
        """What was measured so far."""

    def update(self, image: LabelledImage) -> Any:
        """Measure one image, and return the answer to it."""

    def quality(self) -> dict[str, Any]:
        """Return images, the headline figures, and one figure by class, rounded."""


class DetectorRun:
    """A detector at work; answers are all Detections with a score of 0.01 or more."""

    def __init__(self, bundle: ModelBundle, session: SessionConfig | None = None) -> None:
        self.bundle = bundle
        self.images = 0
        self.metric = DetectionMetric(len(bundle.labels))
        self._detector = Detector(bundle, DetectorConfig(score_threshold=MEASURING_SCORE), session)

    def update(self, image: LabelledImage) -> Detections:
        """Measure one image."""
        found = self._detector.detect(image.color)
        self.metric.update(
            found, image.boxes, image.classes, image.difficult, image.crowd, image.areas
        )
        self.images += 1
        return found

    def quality(self) -> dict[str, Any]:
        """Return images, objects, the metric's figures, and ap_50 by class."""
        return {
            "images": self.images,
            "objects": int(self.metric.objects().sum()),
            **rounded_all(self.metric.figures()),
            "ap_50": by_name(self.bundle.labels, self.metric.voc_ap()),
        }


class SegmenterRun:
    """A segmenter at work; answers are masks, integers (H, W)."""

    def __init__(
        self,
        bundle: ModelBundle,
        session: SessionConfig | None = None,
        known: BoolArray | None = None,
    ) -> None:
        self.bundle = bundle
        self.images = 0
        self.metric = SegmentationMetric(len(bundle.labels), known=known)
        self._segmenter = Segmenter(bundle, session=session)

    def update(self, image: LabelledImage) -> IntArray:
        """Measure one image."""
        mask = self._segmenter.segment(image.color)
        self.metric.update(mask, image.mask)
        self.images += 1
        return mask

    def quality(self) -> dict[str, Any]:
        """Return images, the metric's figures, and iou by label."""
        return {
            "images": self.images,
            **rounded_all(self.metric.figures()),
            "iou": by_name(self.bundle.labels, self.metric.iou()),
        }


class ClassifierRun:
    """A classifier at work; answers are float32 (C,) probabilities."""

    def __init__(self, bundle: ModelBundle, session: SessionConfig | None = None) -> None:
        self.bundle = bundle
        self.images = 0
        self.metric = ClassificationMetric(len(bundle.labels))
        self._classifier = Classifier(bundle, session)

    def update(self, image: LabelledImage) -> Float32Array:
        """Measure one image; raises DatasetError when its class is not known."""
        if image.label is None:
            raise DatasetError(f"{image.name or 'an image'} has no class: give one folder a class")
        scores = self._classifier.classify(image.color)
        self.metric.update(scores[None], np.array([image.label]))
        self.images += 1
        return scores

    def quality(self) -> dict[str, Any]:
        """Return images, the metric's figures, and accuracy by class."""
        return {
            "images": self.images,
            **rounded_all(self.metric.figures()),
            "accuracy": by_name(self.bundle.labels, self.metric.accuracy()),
        }


def start_run(
    bundle: ModelBundle, session: SessionConfig | None = None, known: BoolArray | None = None
) -> Run:
    """Return a bundle at work, by its task.

    known: bool (labels,), labels that the images can show, by default all. Raises ModelError for a
    bundle that does not run.
    """
    if bundle.task == "detection":
        return DetectorRun(bundle, session)
    if bundle.task == "segmentation":
        return SegmenterRun(bundle, session, known)
    return ClassifierRun(bundle, session)


def measure_bundle(
    bundle: ModelBundle, images: Iterable[LabelledImage], session: SessionConfig | None = None
) -> dict[str, Any]:
    """Return quality figures by name, rounded, ready for model.yaml or JSON.

    The headline figures of the task's metric, and by class ap_50 (detection), iou (segmentation) or
    accuracy (classification). Classes that the images do not show are None. Class ids must mean the
    same in bundle and images. Raises ModelError for a bundle that does not run.
    """
    run = start_run(bundle, session)
    for image in images:
        run.update(image)
    return run.quality()
