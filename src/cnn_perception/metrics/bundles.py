"""How good a model bundle is on labelled images, run as a robot runs it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ModelError
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.segmentation.segmenter import Segmenter

__all__ = ["measure_bundle"]

_SCORE_THRESHOLD = 0.01
"""Average precision looks at all detections: a higher threshold would cut its curve short."""


def measure_bundle(
    bundle: ModelBundle, images: Iterable[LabelledImage], session: SessionConfig | None = None
) -> dict[str, Any]:
    """Return quality figures by name, rounded, ready for model.yaml or JSON.

    Detection: images, objects, map_50 (VOC, difficult objects do not count), map_50_95 (COCO),
    ap_50 by class. Segmentation: images, miou, pixel_accuracy, iou by label. Classes that the
    images do not show are None. Class ids must mean the same in bundle and images. Raises
    ModelError for a bundle of another task.
    """
    if bundle.task == "detection":
        return _measure_detector(bundle, images, session)
    if bundle.task == "segmentation":
        return _measure_segmenter(bundle, images, session)
    raise ModelError(f"{bundle.file}: no measure for a bundle for {bundle.task}")


def _measure_detector(
    bundle: ModelBundle, images: Iterable[LabelledImage], session: SessionConfig | None
) -> dict[str, Any]:
    detector = Detector(bundle, DetectorConfig(score_threshold=_SCORE_THRESHOLD), session)
    metric = DetectionMetric(len(bundle.labels))
    count = 0
    for image in images:
        metric.update(detector.detect(image.color), image.boxes, image.classes, image.difficult)
        count += 1
    return {
        "images": count,
        "objects": int(metric.objects().sum()),
        "map_50": _rounded(metric.map_50()),
        "map_50_95": _rounded(metric.map_50_95()),
        "ap_50": _by_name(bundle.labels, metric.voc_ap(0.5)),
    }


def _measure_segmenter(
    bundle: ModelBundle, images: Iterable[LabelledImage], session: SessionConfig | None
) -> dict[str, Any]:
    segmenter = Segmenter(bundle, session=session)
    metric = SegmentationMetric(len(bundle.labels))
    count = 0
    for image in images:
        metric.update(segmenter.segment(image.color), image.mask)
        count += 1
    return {
        "images": count,
        "miou": _rounded(metric.mean_iou()),
        "pixel_accuracy": _rounded(metric.pixel_accuracy()),
        "iou": _by_name(bundle.labels, metric.iou()),
    }


def _rounded(value: float) -> float | None:
    """Return four decimals, or None for not-a-number, which YAML and JSON do not share."""
    return None if math.isnan(value) else round(float(value), 4)


def _by_name(labels: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {label: _rounded(float(value)) for label, value in zip(labels, values, strict=True)}
