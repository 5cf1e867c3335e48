"""Intersection over union of masks, from one confusion matrix over all images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.types import Float64Array, IntArray

__all__ = ["SegmentationMetric", "confusion_matrix", "iou_per_label", "mean_iou", "pixel_accuracy"]


def confusion_matrix(
    predicted: IntArray, truth: IntArray, labels: int, unlabelled: int = 255
) -> NDArray[np.int64]:
    """Return int64 (labels, labels): pixels by true label (row) and predicted label (column).

    predicted, truth: integer arrays of one shape. Pixels whose truth is `unlabelled` do not count.
    Raises ConfigError for shapes that differ and labels out of range.
    """
    if predicted.shape != truth.shape:
        raise ConfigError(
            f"predicted mask has shape {predicted.shape}: the true one has {truth.shape}"
        )
    counted = truth != unlabelled
    rows = truth[counted].astype(np.int64)
    columns = predicted[counted].astype(np.int64)
    for name, values in (("true", rows), ("predicted", columns)):
        wrong = values[(values < 0) | (values >= labels)]
        if wrong.size:
            raise ConfigError(f"{name} mask holds label {wrong[0]}: labels end at {labels - 1}")
    counts = np.bincount(rows * labels + columns, minlength=labels * labels)
    return counts.reshape(labels, labels).astype(np.int64)


def iou_per_label(confusion: NDArray[np.int64]) -> Float64Array:
    """Return float64 (labels,) intersection over union; NaN for labels that never occur."""
    inner = np.diag(confusion).astype(np.float64)
    outer = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    unknown = np.full(len(inner), np.nan)
    values: Float64Array = np.divide(inner, outer, out=unknown, where=outer > 0)
    return values


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Return the mean over the labels that occur; NaN when none does."""
    values = iou_per_label(confusion)
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def pixel_accuracy(confusion: NDArray[np.int64]) -> float:
    """Return the share of counted pixels with the right label; NaN when none was counted."""
    total = int(confusion.sum())
    return float(np.trace(confusion)) / total if total else float("nan")


class SegmentationMetric:
    """Collects the confusion matrix of many images."""

    def __init__(self, labels: int, unlabelled: int = 255) -> None:
        self.labels = labels
        self.unlabelled = unlabelled
        self.confusion = np.zeros((labels, labels), np.int64)

    def update(self, predicted: IntArray, truth: IntArray) -> None:
        """Count one image."""
        self.confusion += confusion_matrix(predicted, truth, self.labels, self.unlabelled)

    def iou(self) -> Float64Array:
        """Return `iou_per_label` over all images."""
        return iou_per_label(self.confusion)

    def mean_iou(self) -> float:
        """Return `mean_iou` over all images."""
        return mean_iou(self.confusion)

    def pixel_accuracy(self) -> float:
        """Return `pixel_accuracy` over all images."""
        return pixel_accuracy(self.confusion)
