"""How the answers of SSD networks are measured while they are trained."""

from __future__ import annotations

import numpy as np

from cnn_perception.detection.detector import select
from cnn_perception.formats.default_boxes import DefaultBoxSpec
from cnn_perception.formats.ssd_raw import SSD_VARIANCES, SsdRawFormat, Variances
from cnn_perception.image.preprocess import Placement
from cnn_perception.types import Detections, Float32Array

__all__ = ["MEASURING_SCORE", "SsdSelection"]

MEASURING_SCORE = 0.01
"""Score from which detections are measured: average precision looks at the weak ones too, and a
higher threshold would cut its curve short."""


class SsdSelection:
    """Reads the answers of an SSD network that is no bundle yet as its bundle's will be read."""

    def __init__(
        self,
        boxes: DefaultBoxSpec,
        *,
        variances: Variances = SSD_VARIANCES,
        score_threshold: float = MEASURING_SCORE,
        iou_threshold: float = 0.45,
        max_detections: int = 100,
    ) -> None:
        self._format = SsdRawFormat({}, boxes, variances)
        self._score_threshold = score_threshold
        self._iou_threshold = iou_threshold
        self._max_detections = max_detections

    def __call__(
        self, logits: Float32Array, deltas: Float32Array, placement: Placement
    ) -> Detections:
        """Return the detections in one image, boxes in its pixels.

        logits: float32 (A, C + 1), background first; deltas: float32 (A, 4); placement: where the
        image lies in the network's input.
        """
        found = self._format.candidates(logits, deltas, self._score_threshold)
        boxes = placement.boxes_to_source(found.boxes * np.array(placement.input * 2, np.float32))
        return select(found, boxes, self._iou_threshold, self._max_detections)
