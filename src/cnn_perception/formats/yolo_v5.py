"""``yolo_v5``: one box per row with objectness, as YOLOv5 and YOLOv7 answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cnn_perception.formats.format import (
    Candidates,
    ClassAxes,
    DetectionFormat,
    Expected,
    Tensors,
    best_class_of_each,
)

if TYPE_CHECKING:
    from torch import Tensor

    from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["YoloV5Format"]


@dataclass(frozen=True, eq=False)
class YoloV5Format(DetectionFormat):
    """Rows of cx, cy, w, h in pixels of the input, objectness, classes.

    The score is objectness times the probability of the best class.
    """

    name: ClassVar[str] = "yolo_v5"
    roles: ClassVar[tuple[str, ...]] = ("predictions",)
    class_axes: ClassVar[ClassAxes | None] = ClassAxes("predictions", (1,), 2, 5)

    def expected(self, labels: int) -> Mapping[str, Expected]:
        """Return (1, N, 5 + C) predictions."""
        return {"predictions": Expected((1, "N", labels + 5))}

    def decode(self, tensors: Tensors, threshold: float, bundle: ModelBundle) -> Candidates:
        """Return the best class of each box."""
        rows = tensors["predictions"]
        # Probabilities are at most 1: the product cannot reach what objectness does not. That
        # rules out nearly all rows before their classes are touched.
        hopeful = np.flatnonzero(rows[:, 4] >= threshold)
        columns = rows[hopeful].T
        size = (bundle.input.width, bundle.input.height)
        found = best_class_of_each(columns[:4], columns[5:] * columns[4], threshold, size)
        return replace(found, anchors=hopeful[found.anchors].astype(np.int32))

    def class_scores(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the scores, twice."""
        rows = tensors["predictions"]
        scores = rows[:, :, 5:] * rows[:, :, 4:5]
        return scores, scores
