"""From candidates to detections: what suppression leaves, in the order of its scores."""

from __future__ import annotations

import numpy as np

from cnn_perception.detection.candidates import Candidates, SsdDecoder
from cnn_perception.detection.decode import SSD_VARIANCES
from cnn_perception.detection.nms import batched_nms, rank
from cnn_perception.image.preprocess import Placement
from cnn_perception.types import Detections, Float32Array

__all__ = ["MEASURING_SCORE", "SsdSelection", "select"]

MEASURING_SCORE = 0.01
"""Score from which detections are measured: average precision looks at the weak ones too, and a
higher threshold would cut its curve short."""


def select(
    found: Candidates, boxes: Float32Array, iou_threshold: float, max_detections: int
) -> Detections:
    """Return what suppression leaves of candidates, best first.

    boxes: float32 (N, 4) corners of the candidates in pixels of the image, clipped to it; those
    without area are no detections.
    """
    # What lies in the bars around a letterboxed picture is nothing once clipped to it.
    inside = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    boxes, scores, class_ids = boxes[inside], found.scores[inside], found.class_ids[inside]
    if iou_threshold < 1:
        kept = batched_nms(boxes, scores, class_ids, iou_threshold, max_detections)
    else:  # no overlap is larger than 1
        kept = rank(scores, max_detections)
    anchors = None if found.anchors is None else found.anchors[inside][kept]
    return Detections(boxes[kept], scores[kept], class_ids[kept], anchors)


class SsdSelection:
    """Reads the answers of an SSD network that is no bundle yet as its bundle's will be read.

    priors: float32 (A, 4) centre x, centre y, width, height, fractions of the image.
    """

    def __init__(
        self,
        priors: Float32Array,
        *,
        variances: tuple[float, float, float, float] = SSD_VARIANCES,
        score_threshold: float = MEASURING_SCORE,
        iou_threshold: float = 0.45,
        max_detections: int = 100,
    ) -> None:
        self._decode = SsdDecoder(priors, variances)
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
        tensors = {"class_logits": logits, "box_deltas": deltas}
        found = self._decode(tensors, self._score_threshold)
        boxes = placement.boxes_to_source(found.boxes * np.array(placement.input * 2, np.float32))
        return select(found, boxes, self._iou_threshold, self._max_detections)
