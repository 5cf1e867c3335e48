"""``class_logits``: a logit for each class of the whole picture."""

from __future__ import annotations

from typing import ClassVar

from cnn_perception.formats.format import ClassificationFormat, Tensors, softmax
from cnn_perception.types import Float32Array

__all__ = ["ClassLogitsFormat"]


class ClassLogitsFormat(ClassificationFormat):
    """Logits, whose softmax are the probabilities."""

    name = "class_logits"
    shapes: ClassVar = {"class_logits": (1, "C")}

    def scores(self, tensors: Tensors) -> Float32Array:
        return softmax(tensors["class_logits"])
