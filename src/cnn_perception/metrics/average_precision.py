"""From ranked verdicts to curves of precision over recall, and the area under them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.metrics.matching import HIT, NOT_COUNTED
from cnn_perception.types import Float32Array, Float64Array

__all__ = ["PrecisionRecall", "all_point_ap", "coco_ap", "eleven_point_ap", "precision_recall"]

_RECALLS = np.linspace(0.0, 1.0, 101)
_FEW_RECALLS = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Recall and precision of the detections that score at least so much, best first.

    scores: float32 (N,); recall, precision: float64 (N,). N is 0 for a class without objects.
    """

    scores: Float32Array
    recall: Float64Array
    precision: Float64Array

    def envelope(self) -> Float64Array:
        """Return float64 (N,): the best precision at this recall or a higher one."""
        best: Float64Array = np.maximum.accumulate(self.precision[::-1])[::-1]
        return best

    def at(self, recalls: Float64Array) -> Float64Array:
        """Return the envelope at some recalls; 0 beyond the last that is reached."""
        index = np.searchsorted(self.recall, recalls, side="left")
        values: Float64Array = np.append(self.envelope(), 0.0)[index]
        return values


def precision_recall(
    scores: Float32Array, verdicts: NDArray[np.int8], objects: int
) -> PrecisionRecall:
    """Return the curve of detections, float32 and int8 (N,), in any order."""
    counted = np.flatnonzero(verdicts != NOT_COUNTED) if objects else np.zeros(0, np.int64)
    order = counted[np.argsort(-scores[counted], kind="stable")]
    hits = np.cumsum(verdicts[order] == HIT)
    return PrecisionRecall(
        scores[order], hits / max(objects, 1), hits / np.arange(1, len(hits) + 1)
    )


def all_point_ap(curve: PrecisionRecall) -> float:
    """Return the area under the envelope (VOC 2010 and later)."""
    steps = np.diff(curve.recall, prepend=0.0)
    return float(np.sum(steps * curve.envelope()))


def eleven_point_ap(curve: PrecisionRecall) -> float:
    """Return the mean of the envelope at recalls 0, 0.1, ... 1 (VOC 2007)."""
    return float(curve.at(_FEW_RECALLS).mean())


def coco_ap(curve: PrecisionRecall) -> float:
    """Return the mean of the envelope at 101 recalls (COCO)."""
    return float(curve.at(_RECALLS).mean())
