"""From a detector's output tensors to scored boxes, one function per output format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.detection.decode import decode_boxes, to_corners
from cnn_perception.detection.default_boxes import default_boxes
from cnn_perception.detection.nms import rank
from cnn_perception.errors import ModelError
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.types import Float32Array

__all__ = ["Candidates", "Decoder", "SsdDecoder", "decoder", "softmax"]

_MOST_CANDIDATES = 8192
"""Best candidates that go into suppression: bounds a frame's time when the threshold is near 0."""

Tensors = Mapping[str, NDArray[Any]]
"""Output tensors without their batch axis, by role."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Scored boxes before suppression, in the order of the network's output.

    boxes: float32 (N, 4) corners, fractions of the network's input, not clipped; scores: float32
    (N,); class_ids: int32 (N,); anchors: int32 (N,) row or cell of the output.
    """

    boxes: Float32Array
    scores: Float32Array
    class_ids: NDArray[np.int32]
    anchors: NDArray[np.int32] | None


Decoder = Callable[[Tensors, float], Candidates]
"""Turns tensors into the candidates whose score is at least the given threshold."""


def decoder(bundle: ModelBundle) -> Decoder:
    """Return the decoder for a detection bundle; raises ModelError for other bundles."""
    output = bundle.output
    if output.format == "ssd_raw" and output.default_boxes is not None:
        return SsdDecoder(default_boxes(output.default_boxes), output.variances)
    if output.format == "boxes_scores":
        return _BoxesScoresDecoder(output.background)
    if output.format == "fastestdet":
        return _decode_fastestdet
    if output.format in ("yolo_v5", "yolo_v8"):
        size = (bundle.input.width, bundle.input.height)
        return _YoloDecoder(size, has_objectness=output.format == "yolo_v5")
    if output.format == "torchvision":
        return _TorchvisionDecoder(bundle)
    if output.format == "detr":
        return _decode_detr
    raise ModelError(
        f"{bundle.file}: a bundle for {bundle.task} cannot detect: give one for detection"
    )


def softmax(logits: Float32Array) -> Float32Array:
    """Return the softmax over the last axis; finite for any finite logits."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


class SsdDecoder:
    """Class logits with the background first, and offsets from default boxes (Liu et al. 2016)."""

    def __init__(self, priors: Float32Array, variances: tuple[float, float, float, float]) -> None:
        self._priors = priors
        self._variances = variances

    def __call__(self, tensors: Tensors, threshold: float) -> Candidates:
        logits = tensors["class_logits"]
        # p(class) <= exp(class - background), so p >= threshold needs a margin of at least
        # ln(threshold). That rules out nearly all rows before any exponential; 1e-3 is slack for
        # rounding.
        margin = math.log(max(threshold, 1e-30)) - 1e-3
        # One row per class: numpy compares along rows ten times as fast as across them.
        by_class = cv2.transpose(logits)
        hopeful = np.flatnonzero(by_class[1:].max(axis=0) > by_class[0] + np.float32(margin))
        scores = softmax(logits[hopeful])[:, 1:]
        rows, class_ids, chosen = _above(scores, threshold)
        anchors = hopeful[rows]
        boxes = decode_boxes(tensors["box_deltas"][anchors], self._priors[anchors], self._variances)
        return Candidates(boxes, chosen, class_ids, anchors.astype(np.int32))


class _BoxesScoresDecoder:
    """Probabilities per box and class, and corners as fractions of the input."""

    def __init__(self, background: int | None) -> None:
        self._background = background

    def __call__(self, tensors: Tensors, threshold: float) -> Candidates:
        rows, class_ids, chosen = _above(tensors["scores"], threshold, self._background)
        return Candidates(tensors["boxes"][rows], chosen, class_ids, rows.astype(np.int32))


class _YoloDecoder:
    """One box per row: centre and size in pixels of the input, and the best of its classes.

    With objectness (YOLOv5, v7) a row is cx, cy, w, h, objectness, classes, and the score is their
    product; without (YOLOv8, v11) rows are columns, and the score is the class's.
    """

    def __init__(self, size: tuple[int, int], *, has_objectness: bool) -> None:
        self._size = np.array(size * 2, np.float32)
        self._has_objectness = has_objectness

    def __call__(self, tensors: Tensors, threshold: float) -> Candidates:
        predictions = tensors["predictions"]
        if self._has_objectness:
            # Probabilities are at most 1: the product cannot reach what objectness does not. That
            # rules out nearly all rows before their classes are touched.
            hopeful = np.flatnonzero(predictions[:, 4] >= threshold)
            predictions = predictions[hopeful].T
            class_scores = predictions[5:] * predictions[4]
        else:
            hopeful = np.arange(predictions.shape[1])
            class_scores = predictions[4:]
        scores = class_scores.max(axis=0)
        keep = _best_above(scores, threshold)
        class_ids = class_scores[:, keep].argmax(axis=0).astype(np.int32)
        boxes = to_corners(predictions[:4, keep].T) / self._size
        anchors = hopeful[keep].astype(np.int32)
        return Candidates(boxes, np.clip(scores[keep], 0, 1), class_ids, anchors)


class _TorchvisionDecoder:
    """The answer of torchvision's detectors: corners in pixels of the input, labels, scores.

    torchvision keeps label 0 for the background (``output.background: 0``); it never answers it,
    and the labels above it move down to their class ids.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        background, count = bundle.output.background, len(bundle.labels)
        self._size = np.array((bundle.input.width, bundle.input.height) * 2, np.float32)
        self._class_ids = np.arange(count, dtype=np.int32)
        if background is not None:
            self._class_ids = np.insert(self._class_ids, min(background, count), -1)
        self._file = bundle.file

    def __call__(self, tensors: Tensors, threshold: float) -> Candidates:
        scores = tensors["scores"]
        keep = _best_above(scores, threshold)
        labels = tensors["labels"][keep]
        known = len(self._class_ids)
        unknown = labels[(labels < 0) | (labels >= known)]
        if len(unknown):
            raise ModelError(
                f"{self._file}: the network answered label {unknown[0]} but labels and "
                f"output.background allow 0 to {known - 1}: correct them"
            )
        class_ids = self._class_ids[labels]
        real = class_ids >= 0
        keep, class_ids = keep[real], class_ids[real]
        boxes = np.asarray(tensors["boxes"][keep] / self._size, np.float32)
        return Candidates(boxes, np.clip(scores[keep], 0, 1), class_ids, keep.astype(np.int32))


def _decode_detr(tensors: Tensors, threshold: float) -> Candidates:
    """One object per query, or none (Carion et al. 2020; ``PostProcess`` of facebookresearch/detr).

    The score is the softmax of the best class among all, of which the last means "no object";
    boxes are cx, cy, w, h as fractions of the input.
    """
    probabilities = softmax(tensors["logits"])[:, :-1]
    scores = probabilities.max(axis=1)
    keep = _best_above(scores, threshold)
    class_ids = probabilities[keep].argmax(axis=1).astype(np.int32)
    return Candidates(
        to_corners(tensors["boxes"][keep]), scores[keep], class_ids, keep.astype(np.int32)
    )


def _decode_fastestdet(tensors: Tensors, threshold: float) -> Candidates:
    """One box per cell: objectness, box, class probabilities (dog-qiuqiu/FastestDet).

    The score is objectness^0.6 * class^0.4 of the best class. The centre is tanh away from the
    cell's corner, in cells; width and height are sigmoids, as fractions of the input.
    """
    cells = tensors["cells"]
    _, rows, columns = cells.shape
    class_scores = cells[5:].reshape(cells.shape[0] - 5, -1)
    best = class_scores.argmax(axis=0)
    strength = np.clip(class_scores.max(axis=0), 0.0, 1.0)
    scores = np.clip(cells[0].ravel(), 0.0, 1.0) ** 0.6 * strength**0.4
    keep = _best_above(scores, threshold)
    x, y, width, height = cells[1:5].reshape(4, -1)[:, keep]
    centers = np.empty((len(keep), 4), np.float32)
    centers[:, 0] = (np.tanh(x) + keep % columns) / columns
    centers[:, 1] = (np.tanh(y) + keep // columns) / rows
    centers[:, 2] = _sigmoid(width)
    centers[:, 3] = _sigmoid(height)
    return Candidates(
        to_corners(centers),
        scores[keep].astype(np.float32),
        best[keep].astype(np.int32),
        keep.astype(np.int32),
    )


def _best_above(scores: Float32Array, threshold: float) -> NDArray[np.int64]:
    """Return the indices, in order, of the best scores that are at least the threshold."""
    keep = np.flatnonzero(scores >= threshold)
    return keep[np.sort(rank(scores[keep], _MOST_CANDIDATES))]


def _above(
    scores: Float32Array, threshold: float, background: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32], Float32Array]:
    """Return (row, class id, score) of all entries of at least the threshold, row by row.

    background: a column that is no class; those after it count one less.
    """
    chosen = scores >= threshold
    if background is not None:
        chosen[:, background] = False
    entries = np.flatnonzero(chosen)
    values = scores.ravel()[entries]
    if len(entries) > _MOST_CANDIDATES:
        best = np.sort(rank(values, _MOST_CANDIDATES))
        entries, values = entries[best], values[best]
    rows, classes = np.divmod(entries, scores.shape[1])
    if background is not None:
        classes -= classes > background
    return rows, classes.astype(np.int32), values


def _sigmoid(values: Float32Array) -> Float32Array:
    """Logistic function by tanh, which does not overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values), np.float32)
