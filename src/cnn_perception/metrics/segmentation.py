"""How good masks are, from one confusion matrix over all images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.metrics.confusion import class_accuracy, confusion_matrix
from cnn_perception.metrics.figures import known_mean
from cnn_perception.types import BoolArray, Float64Array, IntArray

__all__ = ["SegmentationMetric"]


class SegmentationMetric:
    """Collects the pixels of many images by true label and predicted label.

    confusion: int64 (labels, labels), truth by row. Pixels whose truth is `unlabelled` do not
    count. known: bool (labels,), labels that the truth can have, by default all; a label that it
    cannot have has no IoU. Figures are NaN when nothing was counted.

    Source: Long et al., Fully Convolutional Networks for Semantic Segmentation, section 5.
    """

    def __init__(self, labels: int, unlabelled: int = 255, known: BoolArray | None = None) -> None:
        self.labels = labels
        self.known = np.ones(labels, bool) if known is None else known
        self.unlabelled = unlabelled
        self.confusion = np.zeros((labels, labels), np.int64)

    def update(self, predicted: IntArray, truth: IntArray) -> None:
        """Count one image, or several: two integer arrays of one shape.

        Raises ConfigError for shapes that differ and labels out of range.
        """
        self.confusion += confusion_matrix(predicted, truth, self.labels, self.unlabelled)

    def iou(self) -> Float64Array:
        """Return float64 (labels,) intersection over union; NaN for labels that never occur."""
        inner = np.diag(self.confusion).astype(np.float64)
        outer = self.confusion.sum(0) + self.confusion.sum(1) - np.diag(self.confusion)
        values: Float64Array = np.divide(
            inner, outer, out=np.full(self.labels, np.nan), where=self.known & (outer > 0)
        )
        return values

    def accuracy(self) -> Float64Array:
        """Return float64 (labels,): the share of a label's pixels that were found; NaN for none."""
        return class_accuracy(self.confusion)

    def pixels(self) -> NDArray[np.int64]:
        """Return int64 (labels,): how many pixels have each label."""
        pixels: NDArray[np.int64] = self.confusion.sum(1)
        return pixels

    def mean_iou(self) -> float:
        """Return the mean over the labels that occur, in the truth or in an answer."""
        return known_mean(self.iou())

    def mean_accuracy(self) -> float:
        """Return the mean over the labels that the truth has."""
        return known_mean(self.accuracy())

    def frequency_weighted_iou(self) -> float:
        """Return the mean of the labels' IoU, weighted by their pixels."""
        pixels = self.pixels()
        total = int(pixels.sum())
        return float(np.nansum(self.iou() * pixels)) / total if total else float("nan")

    def pixel_accuracy(self) -> float:
        """Return the share of counted pixels with the right label."""
        total = int(self.confusion.sum())
        return float(np.trace(self.confusion)) / total if total else float("nan")

    def figures(self) -> dict[str, float]:
        """Return the headline figures."""
        return {
            "miou": self.mean_iou(),
            "mean_accuracy": self.mean_accuracy(),
            "pixel_accuracy": self.pixel_accuracy(),
            "frequency_weighted_iou": self.frequency_weighted_iou(),
        }
