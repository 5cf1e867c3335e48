"""``ssd_raw``: class logits and offsets from default boxes, as SSD networks answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import cv2
import numpy as np

from cnn_perception.formats.default_boxes import DefaultBoxSpec, default_boxes
from cnn_perception.formats.format import (
    Bundle,
    Candidates,
    ClassAxes,
    ClassScores,
    DetectionFormat,
    Tensors,
    TorchTensors,
    every_above,
    softmax,
    to_centers,
    to_corners,
)
from cnn_perception.settings import REQUIRED, setting
from cnn_perception.types import Float32Array

__all__ = ["SSD_VARIANCES", "SsdRawFormat", "Variances", "decode_boxes", "encode_boxes"]

Variances = tuple[float, float, float, float]

SSD_VARIANCES: Variances = (0.1, 0.1, 0.2, 0.2)
"""Scale of the four offsets, as Liu et al. 2016 and torchvision's ``BoxCoder(10, 10, 5, 5)``."""

_LARGEST_LOG_SIZE = math.log(1000.0 / 16.0)
"""Log sizes are limited to this, as in torchvision, so that exp() stays finite."""


@dataclass(frozen=True, eq=False)
class SsdRawFormat(DetectionFormat):
    """Class logits with the background first, and offsets from default boxes (Liu et al. 2016)."""

    name = "ssd_raw"
    shapes: ClassVar = {"class_logits": (1, "A", "C+1"), "box_deltas": (1, "A", 4)}
    class_axes = ClassAxes("class_logits", (1,), 2)

    default_boxes: DefaultBoxSpec = setting(REQUIRED, "What the offsets are from")
    variances: Variances = setting(
        SSD_VARIANCES,
        "What the offsets are multiplied with: x, y, width, height",
        between=(1e-6, 1e6),
    )

    def sizes(self, labels: int) -> dict[str, int]:
        return {**super().sizes(labels), "A": self.default_boxes.count}

    @property
    def boxes_per_level(self) -> tuple[int, ...] | None:
        return self.default_boxes.boxes_per_level

    @cached_property
    def _priors(self) -> Float32Array:
        return default_boxes(self.default_boxes)

    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        return self.candidates(tensors["class_logits"], tensors["box_deltas"], threshold)

    def candidates(
        self, logits: Float32Array, deltas: Float32Array, threshold: float
    ) -> Candidates:
        """Return what `decode` does, also of a network that is no bundle yet.

        logits: float32 (A, C + 1), background first; deltas: float32 (A, 4).
        """
        # p(class) <= exp(class - background), so p >= threshold needs a margin of at least
        # ln(threshold). That rules out nearly all rows before any exponential; 1e-3 is slack for
        # rounding.
        margin = math.log(max(threshold, 1e-30)) - 1e-3
        # One row per class: numpy compares along rows ten times as fast as across them.
        by_class = cv2.transpose(logits)
        hopeful = np.flatnonzero(by_class[1:].max(axis=0) > by_class[0] + np.float32(margin))
        scores = softmax(logits[hopeful])[:, 1:]
        rows, class_ids, chosen = every_above(scores, threshold)
        anchors = hopeful[rows]
        boxes = decode_boxes(deltas[anchors], self._priors[anchors], self.variances)
        return Candidates(boxes, chosen, class_ids, anchors.astype(np.int32))

    def class_scores(self, tensors: TorchTensors) -> ClassScores:
        logits = tensors["class_logits"]
        return logits[:, :, 1:], logits.softmax(2)[:, :, 1:]

    def class_index(self, class_id: int) -> int:
        return class_id + 1


def decode_boxes(
    deltas: Float32Array,
    priors: Float32Array,
    variances: Variances = SSD_VARIANCES,
) -> Float32Array:
    """Return corners of the boxes that a network's offsets mean.

    deltas: float32 (N, 4) tx, ty, tw, th; priors: float32 (N, 4) cx, cy, w, h of the default boxes;
    the result is float32 (N, 4) x_min, y_min, x_max, y_max in the priors' units, not clipped.
    """
    scaled = deltas * np.asarray(variances, np.float32)
    boxes = np.empty_like(scaled)
    boxes[:, :2] = scaled[:, :2] * priors[:, 2:] + priors[:, :2]
    boxes[:, 2:] = np.exp(np.minimum(scaled[:, 2:], _LARGEST_LOG_SIZE)) * priors[:, 2:]
    return to_corners(boxes)


def encode_boxes(
    boxes: Float32Array,
    priors: Float32Array,
    variances: Variances = SSD_VARIANCES,
) -> Float32Array:
    """Return the offsets that `decode_boxes` turns into `boxes`; a training target.

    boxes: float32 (N, 4) corners with positive size; priors: float32 (N, 4) cx, cy, w, h.
    """
    centers = to_centers(boxes)
    deltas = np.empty_like(centers)
    deltas[:, :2] = (centers[:, :2] - priors[:, :2]) / priors[:, 2:]
    deltas[:, 2:] = np.log(centers[:, 2:] / priors[:, 2:])
    return np.asarray(deltas / np.asarray(variances, np.float32), np.float32)
