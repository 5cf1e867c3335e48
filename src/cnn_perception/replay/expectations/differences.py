"""Expected against actual answers to one frame: what has no partner, and in words why."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.messages.decode import LabelledBoxes, LabelledBoxes3D
from cnn_perception.metrics.matching import pairwise_iou
from cnn_perception.replay.expectations.schema import Tolerance
from cnn_perception.types import BoolArray, Float32Array, Float64Array, IntArray

__all__ = ["BoxDifference", "compare_boxes", "compare_boxes_3d", "compare_heat", "compare_masks"]


@dataclass(frozen=True, slots=True, eq=False)
class BoxDifference:
    """Which expected and which actual detections have no partner, bool (N,) and (M,).

    what: says it in words, empty where there is no difference.
    """

    missing: BoolArray
    surplus: BoolArray
    what: str


def compare_boxes(
    expected: LabelledBoxes,
    actual: LabelledBoxes,
    tolerance: Tolerance,
    lowest: float | None = None,
) -> BoxDifference:
    """Pair detections of the same class whose boxes and scores agree.

    One without a partner is a difference, unless its score is so near to `lowest`, the lowest that
    is kept, that a rounding error decides whether it is there.
    """
    overlap = pairwise_iou(expected.boxes, actual.boxes)
    # A box without area overlaps nothing, not even itself.
    overlap[(expected.boxes[:, None] == actual.boxes).all(-1)] = 1.0
    return _paired(expected, actual, overlap, tolerance.box_iou, tolerance.score, lowest)


def compare_boxes_3d(
    expected: LabelledBoxes3D,
    actual: LabelledBoxes3D,
    tolerance: Tolerance,
    lowest: float | None = None,
) -> BoxDifference:
    """Pair detections in space as `compare_boxes` does those in images."""
    apart = np.linalg.norm(expected.centers[:, None] - actual.centers, axis=-1)
    edges = np.abs(expected.sizes[:, None] - actual.sizes).max(-1)
    closeness = -np.maximum(apart, edges)
    return _paired(expected, actual, closeness, -tolerance.box_3d, tolerance.score, lowest)


def compare_masks(expected: IntArray, actual: IntArray, tolerance: Tolerance) -> str:
    """Say how many pixels of two masks differ; empty where no more do than are tolerated."""
    if expected.shape != actual.shape:
        return f"the mask is {_size(actual)}, expected {_size(expected)}"
    share = float(np.count_nonzero(expected != actual)) / max(expected.size, 1)
    if share <= tolerance.mask:
        return ""
    return f"{share:.3%} of the pixels differ, {tolerance.mask:.3%} are tolerated"


def compare_heat(expected: Float32Array, actual: Float32Array, tolerance: float) -> str:
    """Say by how much two heat maps differ on average; empty where no more than is tolerated."""
    if expected.shape != actual.shape:
        return f"the heat map is {_size(actual)}, expected {_size(expected)}"
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(expected.astype(np.float64) - actual))
    mean = float(apart.mean()) if apart.size else 0.0
    if mean <= tolerance:
        return ""
    return f"the heat differs by {mean:.4f} on average, {tolerance:g} is tolerated"


def _paired(
    expected: LabelledBoxes | LabelledBoxes3D,
    actual: LabelledBoxes | LabelledBoxes3D,
    closeness: Float64Array,
    least: float,
    most_apart: float,
    lowest: float | None,
) -> BoxDifference:
    """Pair by closeness (N, M), the closest first; NaN is close to nothing."""
    classes = np.array(expected.labels, object)[:, None] == np.array(actual.labels, object)
    apart = np.abs(expected.scores[:, None].astype(np.float64) - actual.scores)
    classes = classes.astype(bool).reshape(closeness.shape)
    same = classes & (closeness >= least)
    # Scores are float32, in messages as well: what is left of 0.51 - 0.5 there is not 0.01.
    rows, columns = np.nonzero(same & (apart <= most_apart + 1e-6))
    order = np.lexsort((apart[rows, columns], -closeness[rows, columns]))
    missing, surplus = np.ones(len(expected), bool), np.ones(len(actual), bool)
    for k in order:
        if missing[rows[k]] and surplus[columns[k]]:
            missing[rows[k]] = surplus[columns[k]] = False
    if lowest is not None:
        missing &= ~_undecided(expected.scores, lowest, most_apart)
        surplus &= ~_undecided(actual.scores, lowest, most_apart)
    near = np.where(classes, closeness, -np.inf).max(1, initial=-np.inf)
    what = _words(expected, actual, near, missing, surplus, least)
    return BoxDifference(missing, surplus, what)


def _undecided(scores: Float32Array, lowest: float, most_apart: float) -> BoolArray:
    return np.asarray(np.abs(scores.astype(np.float64) - lowest) <= most_apart + 1e-6, bool)


def _words(
    expected: LabelledBoxes | LabelledBoxes3D,
    actual: LabelledBoxes | LabelledBoxes3D,
    near: Float64Array,
    missing: BoolArray,
    surplus: BoolArray,
    least: float,
) -> str:
    """Say what is wrong with the first detection that has no partner.

    near: (N,), how close the closest of the same class comes to each expected one.
    """
    if missing.any():
        k = int(np.argmax(missing))
        text = f"{expected.labels[k]} expected {_place(expected, k)}"
        if near[k] == -np.inf:
            return f"{text}, there is none"
        if near[k] >= least:
            return f"{text} with score {expected.scores[k]:.3f}, the score is not the same"
        if isinstance(expected, LabelledBoxes):
            return f"{text}, nothing overlaps by {least:g} (the nearest by {near[k]:.3f})"
        return f"{text}, nothing is within {-least:g} m (the nearest {-near[k]:.3f} m)"
    if surplus.any():
        k = int(np.argmax(surplus))
        return f"{actual.labels[k]} {_place(actual, k)}, {actual.scores[k]:.3f}, was not expected"
    return ""


def _place(found: LabelledBoxes | LabelledBoxes3D, k: int) -> str:
    if isinstance(found, LabelledBoxes):
        if not found.boxes[k].any():
            return "of the whole image"
        return f"at [{', '.join(_short(edge) for edge in found.boxes[k].tolist())}]"
    return f"at ({', '.join(f'{value:.2f}' for value in found.centers[k].tolist())}) m"


def _short(edge: float) -> str:
    return f"{edge:.1f}" if math.isfinite(edge) else str(edge)


def _size(array: NDArray[np.generic]) -> str:
    return "x".join(str(length) for length in reversed(array.shape))
