"""``detr``: one object per query, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cnn_perception.formats.format import (
    Candidates,
    ClassAxes,
    DetectionFormat,
    Expected,
    Tensors,
    best_class_of_each,
    softmax,
)

if TYPE_CHECKING:
    from torch import Tensor

    from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["DetrFormat"]


@dataclass(frozen=True, eq=False)
class DetrFormat(DetectionFormat):
    """Class logits and a box per query (Carion et al. 2020; ``PostProcess`` of facebookresearch).

    The score is the softmax of the best class among all, of which the last means "no object";
    boxes are cx, cy, w, h as fractions of the input.
    """

    name: ClassVar[str] = "detr"
    roles: ClassVar[tuple[str, ...]] = ("logits", "boxes")
    final: ClassVar[bool] = True
    class_axes: ClassVar[ClassAxes | None] = ClassAxes("logits", (1,), 2)

    def expected(self, labels: int) -> Mapping[str, Expected]:
        """Return (1, Q, C + 1) logits and (1, Q, 4) boxes."""
        return {"logits": Expected((1, "Q", labels + 1)), "boxes": Expected((1, "Q", 4))}

    def decode(self, tensors: Tensors, threshold: float, bundle: ModelBundle) -> Candidates:
        """Return the best class of each query."""
        probabilities = softmax(tensors["logits"])[:, :-1]
        return best_class_of_each(tensors["boxes"].T, probabilities.T, threshold)

    def class_scores(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities without those of no object."""
        logits = tensors["logits"]
        return logits[:, :, :-1], logits.softmax(2)[:, :, :-1]
