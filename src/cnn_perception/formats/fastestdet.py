"""``fastestdet``: one box per cell of a grid."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cnn_perception.formats.format import (
    Bundle,
    Candidates,
    ClassAxes,
    ClassScores,
    DetectionFormat,
    Tensors,
    TorchTensors,
    best_above,
    to_corners,
)
from cnn_perception.types import Float32Array

__all__ = ["FastestDetFormat"]


class FastestDetFormat(DetectionFormat):
    """Objectness, box and class probabilities of each cell (dog-qiuqiu/FastestDet).

    The score is objectness^0.6 * class^0.4 of the best class. The centre is tanh away from the
    cell's corner, in cells; width and height are sigmoids, as fractions of the input.
    """

    name = "fastestdet"
    shapes: ClassVar = {"cells": (1, "C+5", "h", "w")}
    class_axes = ClassAxes("cells", (2, 3), 1, 5)

    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        cells = tensors["cells"]
        _, rows, columns = cells.shape
        class_scores = cells[5:].reshape(cells.shape[0] - 5, -1)
        best = class_scores.argmax(axis=0)
        strength = np.clip(class_scores.max(axis=0), 0.0, 1.0)
        scores = np.clip(cells[0].ravel(), 0.0, 1.0) ** 0.6 * strength**0.4
        keep = best_above(scores, threshold)
        x, y, width, height = cells[1:5].reshape(4, -1)[:, keep]
        centers = np.empty((len(keep), 4), np.float32)
        centers[:, 0] = (np.tanh(x) + keep % columns) / columns
        centers[:, 1] = (np.tanh(y) + keep // columns) / rows
        centers[:, 2] = _sigmoid(width)
        centers[:, 3] = _sigmoid(height)
        return Candidates(
            to_corners(centers),
            scores[keep].astype(np.float32),
            best[keep].astype(np.int32),
            keep.astype(np.int32),
        )

    def class_scores(self, tensors: TorchTensors) -> ClassScores:
        # At 0 a power has no finite derivative, and 0 times infinity would spoil every gradient.
        strengths = tensors["cells"].flatten(2).transpose(1, 2).clamp(1e-6, 1.0)
        scores = strengths[:, :, :1] ** 0.6 * strengths[:, :, 5:] ** 0.4
        return scores, scores


def _sigmoid(values: Float32Array) -> Float32Array:
    """Logistic function by tanh, which does not overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values), np.float32)
