"""Greedy non-maximum suppression, class by class, in ONNX Runtime's own kernel."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import SessionConfig
from cnn_perception.runtime.graph import Graph
from cnn_perception.types import Float32Array

__all__ = ["NMS_FILE", "batched_nms", "prepare_nms", "rank"]

NMS_FILE = Path(__file__).with_name("nms.onnx")
"""One operator, NonMaxSuppression: the network's runtime is here anyway, and its kernel needs a
tenth of the time that numpy does."""

_ANY_SCORE = float(np.finfo(np.float32).min)


def rank(scores: Float32Array, most: int | None = None) -> NDArray[np.int64]:
    """Return indices of scores, highest first, equal ones in their given order; at most `most`."""
    order = np.argsort(-scores, kind="stable")
    return order if most is None else order[:most]


def batched_nms(
    boxes: Float32Array,
    scores: Float32Array,
    class_ids: NDArray[np.integer],
    iou_threshold: float,
    max_detections: int | None = None,
) -> NDArray[np.int64]:
    """Return the indices of the boxes to keep, highest score first, at most `max_detections`.

    A box is dropped when a better one of its class that is kept overlaps it by more than
    `iou_threshold` (IoU, strictly more; 0 to 1); of equal scores the earlier box is the better.
    This is torchvision's ``batched_nms``, bit for bit in float32. boxes: float32 (N, 4) corners in
    any unit, the lower ones first; scores: float32 (N,); class_ids: (N,), from 0.
    """
    count = len(scores)
    limit = count if max_detections is None else max_detections
    if count == 0 or limit <= 0:
        return np.zeros(0, np.int64)
    # A row of scores for each class that there is. np.unique would take longer than all the rest.
    row_of_class = np.cumsum(np.bincount(class_ids) > 0) - 1
    by_class = np.full((1, row_of_class[-1] + 1, count), -np.inf, np.float32)
    by_class[0, row_of_class[class_ids], np.arange(count)] = scores
    answer = prepare_nms().run(
        {
            "boxes": boxes[None],
            "scores": by_class,
            "most": np.array([limit], np.int64),
            "iou_threshold": np.array([_float32_below(iou_threshold)], np.float32),
            "score_threshold": np.array([_ANY_SCORE], np.float32),
        }
    )
    kept: NDArray[np.int64] = np.sort(answer["kept"][:, 2])
    return kept[rank(scores[kept], limit)]


@cache
def prepare_nms() -> Graph:
    """Load the operator, once, so that no picture has to wait for it."""
    return Graph(NMS_FILE, SessionConfig(provider="cpu", threads=1))


def _float32_below(value: float) -> float:
    """Return the largest float32 that is not above `value`.

    IoUs are float32 and are compared with a double; against this number the comparison has the
    same result and stays in float32.
    """
    rounded = np.float32(value)
    if float(rounded) > value:
        return float(np.nextafter(rounded, np.float32(-np.inf)))
    return float(rounded)
