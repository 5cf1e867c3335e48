"""``yolo_v5``: one box per row with objectness, as YOLOv5 and YOLOv7 answer."""

from __future__ import annotations

from dataclasses import replace
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
    best_class_of_each,
)

__all__ = ["YoloV5Format"]


class YoloV5Format(DetectionFormat):
    """Rows of cx, cy, w, h in pixels of the input, objectness, classes.

    The score is objectness times the probability of the best class.
    """

    name = "yolo_v5"
    shapes: ClassVar = {"predictions": (1, "N", "C+5")}
    class_axes = ClassAxes("predictions", (1,), 2, 5)

    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        rows = tensors["predictions"]
        # Probabilities are at most 1: the product cannot reach what objectness does not. That
        # rules out nearly all rows before their classes are touched.
        hopeful = np.flatnonzero(rows[:, 4] >= threshold)
        columns = rows[hopeful].T
        size = (bundle.input.width, bundle.input.height)
        found = best_class_of_each(columns[:4], columns[5:] * columns[4], threshold, size)
        return replace(found, anchors=hopeful[found.anchors].astype(np.int32))

    def class_scores(self, tensors: TorchTensors) -> ClassScores:
        rows = tensors["predictions"]
        scores = rows[:, :, 5:] * rows[:, :, 4:5]
        return scores, scores
