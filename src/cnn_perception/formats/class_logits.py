"""``class_logits``: a logit for each class of the whole picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cnn_perception.formats.format import ClassificationFormat, Expected, Tensors, softmax
from cnn_perception.types import Float32Array

__all__ = ["ClassLogitsFormat"]


@dataclass(frozen=True, eq=False)
class ClassLogitsFormat(ClassificationFormat):
    """Logits, whose softmax are the probabilities."""

    name: ClassVar[str] = "class_logits"
    roles: ClassVar[tuple[str, ...]] = ("class_logits",)

    def expected(self, labels: int) -> Mapping[str, Expected]:
        """Return (1, C) logits."""
        return {"class_logits": Expected((1, labels))}

    def scores(self, tensors: Tensors) -> Float32Array:
        """Return the softmax of the logits."""
        return softmax(tensors["class_logits"])
