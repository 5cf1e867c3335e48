"""``boxes_scores``: probabilities per box and class, and corners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cnn_perception.formats.format import (
    BackgroundFormat,
    Candidates,
    ClassAxes,
    Expected,
    Tensors,
    every_above,
)

if TYPE_CHECKING:
    from torch import Tensor

    from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["BoxesScoresFormat"]


@dataclass(frozen=True, eq=False)
class BoxesScoresFormat(BackgroundFormat):
    """Probabilities of each class, and corners as fractions of the input.

    background: the column of the scores that means no object, or None.
    """

    name: ClassVar[str] = "boxes_scores"
    roles: ClassVar[tuple[str, ...]] = ("scores", "boxes")
    class_axes: ClassVar[ClassAxes | None] = ClassAxes("scores", (1,), 2)

    def expected(self, labels: int) -> Mapping[str, Expected]:
        """Return (1, N, C) scores and (1, N, 4) boxes."""
        columns = labels if self.background is None else labels + 1
        return {"scores": Expected((1, "N", columns)), "boxes": Expected((1, "N", 4))}

    def decode(self, tensors: Tensors, threshold: float, bundle: ModelBundle) -> Candidates:
        """Return every class of every box."""
        rows, class_ids, chosen = every_above(tensors["scores"], threshold, self.background)
        return Candidates(tensors["boxes"][rows], chosen, class_ids, rows.astype(np.int32))

    def class_scores(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the logits, where the scores are made of them, and the scores."""
        scores = tensors["scores"]
        classes = [k for k in range(scores.shape[2]) if k != self.background]
        return tensors.get("logits", scores)[:, :, classes], scores[:, :, classes]
