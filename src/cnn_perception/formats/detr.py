"""``detr``: one object per query, or none."""

from __future__ import annotations

from typing import ClassVar

from cnn_perception.formats.format import (
    Bundle,
    Candidates,
    ClassAxes,
    ClassScores,
    DetectionFormat,
    Tensors,
    TorchTensors,
    best_class_of_each,
    softmax,
)

__all__ = ["DetrFormat"]


class DetrFormat(DetectionFormat):
    """Class logits and a box per query (Carion et al. 2020; ``PostProcess`` of facebookresearch).

    The score is the softmax of the best class among all, of which the last means "no object";
    boxes are cx, cy, w, h as fractions of the input.
    """

    name = "detr"
    shapes: ClassVar = {"logits": (1, "Q", "C+1"), "boxes": (1, "Q", 4)}
    final = True
    class_axes = ClassAxes("logits", (1,), 2)

    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        probabilities = softmax(tensors["logits"])[:, :-1]
        return best_class_of_each(tensors["boxes"].T, probabilities.T, threshold)

    def class_scores(self, tensors: TorchTensors) -> ClassScores:
        logits = tensors["logits"]
        return logits[:, :, :-1], logits.softmax(2)[:, :, :-1]
