"""How often the class of an image is the best answer, or among the best five."""

from __future__ import annotations

import numpy as np

from cnn_perception.errors import ConfigError
from cnn_perception.metrics.confusion import class_accuracy, confusion_matrix
from cnn_perception.types import Float32Array, Float64Array, IntArray

__all__ = ["ClassificationMetric"]


class ClassificationMetric:
    """Collects the answers to many images.

    confusion: int64 (classes, classes) images by true class (row) and best answer (column). Figures
    are NaN when nothing was counted.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusion = np.zeros((classes, classes), np.int64)
        self._among_five = 0

    def update(self, scores: Float32Array, truth: IntArray) -> None:
        """Count images: scores or logits, float (N, classes), and their classes, integers (N,).

        Of equal scores the lower class is the better answer. Raises ConfigError for shapes that do
        not agree and classes out of range.
        """
        if scores.shape != (len(truth), self.classes):
            raise ConfigError(
                f"scores have shape {scores.shape}: expected {(len(truth), self.classes)}"
            )
        self.confusion += confusion_matrix(scores.argmax(1), truth, self.classes)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        self._among_five += int((best == truth[:, None]).any(1).sum())

    def accuracy(self) -> Float64Array:
        """Return float64 (classes,): top-1 accuracy of each class; NaN for those without images."""
        return class_accuracy(self.confusion)

    def top_1(self) -> float:
        """Return the share of images whose class is the best answer."""
        return self._share(int(np.trace(self.confusion)))

    def top_5(self) -> float:
        """Return the share of images whose class is among the best five answers."""
        return self._share(self._among_five)

    def figures(self) -> dict[str, float]:
        """Return the headline figures."""
        return {"top_1": self.top_1(), "top_5": self.top_5()}

    def _share(self, count: int) -> float:
        total = int(self.confusion.sum())
        return count / total if total else float("nan")
