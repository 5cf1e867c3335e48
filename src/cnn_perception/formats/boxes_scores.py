"""``boxes_scores``: probabilities per box and class, and corners."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cnn_perception.formats.format import (
    BackgroundFormat,
    Bundle,
    Candidates,
    ClassAxes,
    ClassScores,
    Tensors,
    TorchTensors,
    every_above,
)

__all__ = ["BoxesScoresFormat"]


class BoxesScoresFormat(BackgroundFormat):
    """Probabilities of each class, and corners as fractions of the input.

    background: the column of the scores that means no object, or None.
    """

    name = "boxes_scores"
    shapes: ClassVar = {"scores": (1, "N", "C"), "boxes": (1, "N", 4)}
    class_axes = ClassAxes("scores", (1,), 2)

    def sizes(self, labels: int) -> dict[str, int]:
        return {"C": labels if self.background is None else labels + 1}

    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        rows, class_ids, chosen = every_above(tensors["scores"], threshold, self.background)
        return Candidates(tensors["boxes"][rows], chosen, class_ids, rows.astype(np.int32))

    def class_scores(self, tensors: TorchTensors) -> ClassScores:
        scores = tensors["scores"]
        classes = [k for k in range(scores.shape[2]) if k != self.background]
        return tensors.get("logits", scores)[:, :, classes], scores[:, :, classes]
