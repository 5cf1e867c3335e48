"""What may be asked of an explainer: a class, and where it is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn_perception.errors import ConfigError
from cnn_perception.types import BoolArray, Float32Array

__all__ = ["Question", "read_region"]

_ANYWHERE = (-1.0,)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is to be explained.

    class_id: of this class alone, or None. region: float32 (4,) corners in pixels of the image,
    within which it lies, or None; a point has no area. threshold: the lowest score. most: how many
    answers at most. method, budget_ms, evidence_share: see `ExplainerConfig`.
    """

    class_id: int | None
    region: Float32Array | None
    threshold: float
    most: int
    method: str
    budget_ms: float
    evidence_share: float

    def holds(self, boxes: Float32Array) -> BoolArray:
        """Return which boxes (N, 4) are asked for: those over the point, or centred in the box."""
        if self.region is None:
            return np.ones(len(boxes), np.bool_)
        low, high = self.region[:2], self.region[2:]
        if (low == high).all():
            inside = (boxes[:, :2] <= low) & (low < boxes[:, 2:])
        else:
            centers = (boxes[:, :2] + boxes[:, 2:]) / 2
            inside = (low <= centers) & (centers < high)
        return np.asarray(inside.all(1))


def read_region(values: Sequence[float]) -> Float32Array | None:
    """Return corners, float32 (4,), of a point (x, y) or of a box; None of (-1,) or nothing.

    Raises ConfigError for anything else, and for a box without area.
    """
    if not values or tuple(values) == _ANYWHERE:
        return None
    corners = np.array([*values, *values] if len(values) == 2 else values, np.float32)
    is_box = len(values) == 4 and corners.shape == (4,) and (corners[:2] < corners[2:]).all()
    if not np.isfinite(corners).all() or not (is_box or len(values) == 2):
        raise ConfigError(
            f"region = {list(values)}: give a point [x, y], a box [x_min, y_min, x_max, y_max] in "
            "pixels, or [-1.0] for anywhere"
        )
    return corners
