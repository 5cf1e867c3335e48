"""What was taken for what: counts by true class and answered class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.types import Float64Array, IntArray

__all__ = ["class_accuracy", "confusion_matrix"]


def confusion_matrix(
    predicted: IntArray, truth: IntArray, labels: int, unlabelled: int | None = None
) -> NDArray[np.int64]:
    """Return int64 (labels, labels): counts by true label (row) and predicted label (column).

    predicted, truth: integer arrays of one shape. Places whose truth is `unlabelled` do not count.
    Raises ConfigError for shapes that differ and labels out of range.
    """
    if predicted.shape != truth.shape:
        raise ConfigError(f"answers have shape {predicted.shape}: the truth has {truth.shape}")
    counted = slice(None) if unlabelled is None else truth != unlabelled
    rows = truth[counted].astype(np.int64).ravel()
    columns = predicted[counted].astype(np.int64).ravel()
    for name, values in (("truth has", rows), ("answer is", columns)):
        if len(values) and not (values.min() >= 0 and values.max() < labels):
            wrong = values[(values < 0) | (values >= labels)][0]
            raise ConfigError(f"the {name} label {wrong}: labels go from 0 to {labels - 1}")
    counts = np.bincount(rows * labels + columns, minlength=labels * labels)
    return counts.reshape(labels, labels).astype(np.int64)


def class_accuracy(confusion: NDArray[np.int64]) -> Float64Array:
    """Return float64 (labels,): the share of each true label that was answered rightly.

    NaN for labels that the truth does not have.
    """
    total = confusion.sum(1)
    shares: Float64Array = np.divide(
        np.diag(confusion), total, out=np.full(len(total), np.nan), where=total > 0
    )
    return shares
