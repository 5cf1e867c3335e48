"""Which default box learns which object (Liu et al. 2016, section 2.2), in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.formats.format import to_corners
from cnn_perception.formats.ssd_raw import encode_boxes
from cnn_perception.metrics.matching import pairwise_iou
from cnn_perception.types import BoolArray, Float32Array

__all__ = ["BACKGROUND", "IGNORED", "Matcher", "Targets"]

BACKGROUND = 0
IGNORED = -1
"""Class target of a default box that takes no part in the loss."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What each default box should answer.

    classes: int64 (A,), 0 background, 1 + class id, or `IGNORED`; deltas: float32 (A, 4), zero
    where there is no object.
    """

    classes: NDArray[np.int64]
    deltas: Float32Array


class Matcher:
    """Assigns objects to default boxes.

    A default box takes the object it overlaps most, from `match_iou` on; besides, every object gets
    the default box that it overlaps most; that is all of the published rule. Boxes between
    `ignore_iou` and `match_iou` take no part, nor do those that overlap an object marked as ignored
    from `ignore_iou` on; of crowds, those of which such a share lies in one.
    priors: float32 (A, 4) from `default_boxes`.
    """

    def __init__(
        self, priors: Float32Array, match_iou: float = 0.5, ignore_iou: float = 0.5
    ) -> None:
        self.priors = priors
        self.match_iou = match_iou
        self.ignore_iou = ignore_iou
        self._corners = to_corners(priors)

    def __call__(
        self,
        boxes: Float32Array,
        classes: NDArray[np.integer],
        ignored: BoolArray,
        crowd: BoolArray | None = None,
    ) -> Targets:
        """Return the targets of one image.

        boxes: float32 (N, 4) corners, fractions of the image; classes: (N,); ignored: bool (N,);
        crowd: bool (N,), regions of many objects, which are ignored too.
        """
        count = len(self.priors)
        targets = np.zeros(count, np.int64)
        deltas = np.zeros((count, 4), np.float32)
        if len(boxes) == 0:
            return Targets(targets, deltas)
        iou = pairwise_iou(self._corners, boxes, crowd)
        if crowd is not None:
            ignored = ignored | crowd
        if ignored.any():
            targets[iou[:, ignored].max(1) >= self.ignore_iou] = IGNORED
        taught = np.flatnonzero(~ignored)
        if len(taught):
            overlap = iou[:, taught]
            best = overlap.argmax(1)
            value = overlap.max(1)
            targets[(value >= self.ignore_iou) & (value < self.match_iou)] = IGNORED
            # Largest overlap last, so that it wins where two objects want the same default box.
            own = overlap.argmax(0)
            for k in np.argsort(overlap.max(0)):
                best[own[k]], value[own[k]] = k, 1.0
            positive = value >= self.match_iou
            objects = taught[best[positive]]
            targets[positive] = classes[objects] + 1
            deltas[positive] = encode_boxes(boxes[objects], self.priors[positive])
        return Targets(targets, deltas)
