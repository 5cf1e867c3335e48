"""How the answers on a topic are compared with golden ones, by their message type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_perception.messages.decode import (
    LabelledBoxes,
    decode_classification,
    decode_depth,
    decode_detections,
    decode_detections_3d,
    decode_header,
    decode_mask,
)
from cnn_perception.replay.class_names import ClassNames
from cnn_perception.replay.expectations.differences import (
    compare_boxes,
    compare_boxes_3d,
    compare_heat,
    compare_masks,
)
from cnn_perception.replay.expectations.failure_pictures import (
    Page,
    box_pages,
    heat_page,
    mask_page,
)
from cnn_perception.replay.expectations.schema import Tolerance
from cnn_perception.types import Float32Array

__all__ = ["Comparer", "Difference", "absence", "comparer", "is_heat", "same_message"]


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What is wrong with an answer, in words, and how to draw it; no words: nothing is."""

    what: str
    page: Page | None = None


_LABEL_IMAGES = ("mono8", "8UC1", "mono16", "16UC1")
"""Encodings of masks; other images are pictures."""

Comparer = Callable[[Any, Any], Difference]
"""Compares an expected message with the actual one; either may be None where none came."""


def is_heat(topic: str, msgtype: str) -> bool:
    """Say whether a topic carries heat maps."""
    return msgtype == "sensor_msgs/msg/Image" and topic.endswith("/heatmap")


def comparer(
    topic: str,
    msgtype: str,
    tolerance: Tolerance,
    names: ClassNames | None,
    lowest: float | None,
) -> Comparer:
    """Return how the messages of a topic are compared.

    names: the node's classes; lowest: the lowest score that it keeps. Types that are not known here
    must be equal.
    """
    if msgtype == "vision_msgs/msg/Detection2DArray":
        return _boxes(decode_detections, tolerance, lowest)
    if msgtype == "vision_msgs/msg/Classification":
        return _boxes(decode_classification, tolerance, lowest)
    if msgtype == "vision_msgs/msg/Detection3DArray":
        return _boxes_3d(tolerance, lowest)
    if msgtype == "sensor_msgs/msg/Image":
        if is_heat(topic, msgtype):
            return _heat(tolerance.heatmap or 0.0)
        return _masks(tolerance, names)
    return _equal


def absence(expected: Any, actual: Any) -> str:
    """Say what is wrong before any content is looked at: it is not there, or its header."""
    if actual is None:
        return "the frame is missing"
    if expected is None:
        return "the frame was not expected"
    if not hasattr(expected, "header"):
        return ""
    want, have = decode_header(expected.header), decode_header(actual.header)
    if want.stamp_ns != have.stamp_ns:
        return f"the stamp is {have.stamp_ns - want.stamp_ns:+d} ns from the expected one"
    if want != have:
        return f"the frame_id is {have.frame_id!r}, expected {want.frame_id!r}"
    return ""


def _boxes(
    decode: Callable[[Any], LabelledBoxes], tolerance: Tolerance, lowest: float | None
) -> Comparer:
    def compare(expected: Any, actual: Any) -> Difference:
        what = absence(expected, actual)
        before = None if expected is None else decode(expected)
        after = None if actual is None else decode(actual)
        if before is None or after is None:
            sides = [
                None if side is None else (side, np.ones(len(side), bool))
                for side in (before, after)
            ]
            return Difference(what, box_pages(*sides))
        found = compare_boxes(before, after, tolerance, lowest)
        page = box_pages((before, found.missing), (after, found.surplus))
        return Difference(what or found.what, page)

    return compare


def _boxes_3d(tolerance: Tolerance, lowest: float | None) -> Comparer:
    def compare(expected: Any, actual: Any) -> Difference:
        what = absence(expected, actual)
        if what:
            return Difference(what)
        before, after = decode_detections_3d(expected), decode_detections_3d(actual)
        return Difference(compare_boxes_3d(before, after, tolerance, lowest).what)

    return compare


def _masks(tolerance: Tolerance, names: ClassNames | None) -> Comparer:
    listed = () if names is None else names.listed()

    def compare(expected: Any, actual: Any) -> Difference:
        if str((actual if expected is None else expected).encoding) not in _LABEL_IMAGES:
            return _equal(expected, actual)  # a picture that an installed component draws
        what = absence(expected, actual)
        before = None if expected is None else decode_mask(expected)
        after = None if actual is None else decode_mask(actual)
        if before is not None and after is not None:
            what = what or compare_masks(before, after, tolerance)
        return Difference(what, mask_page([("expected", before), ("actual", after)], listed))

    return compare


def _heat(tolerance: float) -> Comparer:
    def compare(expected: Any, actual: Any) -> Difference:
        what = absence(expected, actual)
        before = None if expected is None else _decode_heat(expected)
        after = None if actual is None else _decode_heat(actual)
        if before is not None and after is not None:
            what = what or compare_heat(before, after, tolerance)
        return Difference(what, heat_page(before, after))

    return compare


def _decode_heat(message: Any) -> Float32Array:
    # Laid out like a depth image, in which 0 is no reading and comes as NaN.
    return np.nan_to_num(decode_depth(message))


def _equal(expected: Any, actual: Any) -> Difference:
    what = absence(expected, actual)
    if not what and not same_message(expected, actual):
        what = "the message is not the same"
    return Difference(what)


def same_message(expected: Any, actual: Any) -> bool:
    """Say whether messages of rosbags are equal; Python's == compares arrays item by item."""
    if isinstance(expected, np.ndarray):
        return bool(np.array_equal(expected, actual))
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(map(same_message, expected, actual))
    if hasattr(expected, "__dataclass_fields__"):
        names = expected.__dataclass_fields__
        return all(same_message(getattr(expected, n), getattr(actual, n, None)) for n in names)
    return bool(expected == actual)
