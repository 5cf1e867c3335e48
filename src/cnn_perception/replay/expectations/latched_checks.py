"""What is said once in a replay, against the golden results: maps, and the names of classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.errors import MapError
from cnn_perception.image.codec import encode_png
from cnn_perception.image.panels import panel_page
from cnn_perception.mapping.files.octomap_codec import OCCUPANCY_TREE, decode_binary, decode_full
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.pictures.cell_grid import ceiling
from cnn_perception.mapping.pictures.views import render_top
from cnn_perception.messages.decode import decode_label_info
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.comparers import absence, same_message
from cnn_perception.replay.expectations.failure_pictures import picture_file
from cnn_perception.replay.expectations.golden import is_golden_topic
from cnn_perception.replay.expectations.map_difference import compare_maps
from cnn_perception.replay.expectations.schema import Tolerance
from cnn_perception.replay.run import ReplayRun

__all__ = ["check_latched"]

_LABELS = "vision_msgs/msg/LabelInfo"
_MAP = "octomap_msgs/msg/Octomap"


def check_latched(
    run: ReplayRun, bags: tuple[BagReader, BagReader], tolerance: Tolerance
) -> Iterator[Check]:
    """Yield a check for each latched topic that both bags have; their last messages count."""
    there = {topic.name: topic.msgtype for topic in bags[1].topics}
    for topic in bags[0].topics:
        name = f"golden.{topic.name}"
        known = there.get(topic.name) == topic.msgtype
        if not (topic.latched and known and is_golden_topic(topic, tolerance)):
            continue
        expected, actual = (_last(bag, topic.name) for bag in bags)
        if expected is None and actual is None:
            yield Check(name, True, "nothing came, as expected")
        elif expected is None or actual is None:
            yield Check(name, False, f"{topic.name}: {absence(expected, actual)}")
        elif topic.msgtype == _LABELS:
            yield _labels(name, expected, actual)
        elif topic.msgtype == _MAP and str(expected.id) == str(actual.id) == OCCUPANCY_TREE:
            yield _maps(run, name, expected, actual, tolerance)
        else:
            fits = same_message(expected, actual)
            text = "the message is as expected" if fits else "the message is not the same"
            yield Check(name, fits, text)


def _last(bag: BagReader, topic: str) -> Any:
    message = None
    for item in bag.messages([topic]):
        message = item.message
    return message


def _labels(name: str, expected: Any, actual: Any) -> Check:
    want, have = decode_label_info(expected), decode_label_info(actual)
    for class_id in sorted({*want, *have}):
        before, after = want.get(class_id, "nothing"), have.get(class_id, "nothing")
        if before != after:
            return Check(name, False, f"class {class_id} is {after}, expected {before}")
    if not math.isclose(expected.threshold, actual.threshold, abs_tol=1e-6):
        text = f"the lowest score is {actual.threshold:g}, expected {expected.threshold:g}"
        return Check(name, False, text)
    return Check(name, True, f"{len(want)} classes, lowest score {actual.threshold:g}")


def _maps(run: ReplayRun, name: str, expected: Any, actual: Any, tolerance: Tolerance) -> Check:
    if not math.isclose(expected.resolution, actual.resolution, rel_tol=1e-9):
        text = f"cells of {actual.resolution:g} m, expected {expected.resolution:g} m"
        return Check(name, False, text)
    wrong = absence(expected, actual)
    if wrong:
        return Check(name, False, f"the map's header: {wrong}")
    try:
        before, after = _leaves(expected), _leaves(actual)
    except MapError as error:
        return Check(name, False, str(error))
    found = compare_maps(before, after)
    share = f"{found.share:.3%} of {found.known} known cells differ"
    if found.share <= tolerance.map_cells:
        return Check(name, True, share)
    picture = _draw(run, name, before, after, float(expected.resolution))
    text = (
        f"{share}, {tolerance.map_cells:.3%} are tolerated: {found.no_longer_occupied} are no "
        f"longer occupied, {found.newly_occupied} newly"
    )
    return Check(name, False, text, picture=picture)


def _leaves(message: Any) -> Leaves:
    data = np.asarray(message.data).tobytes()
    return decode_binary(data) if message.binary else decode_full(data)


def _draw(run: ReplayRun, name: str, expected: Leaves, actual: Leaves, resolution: float) -> Path:
    """Draw both maps from above, without a ceiling."""
    sides = []
    for title, leaves in (("expected", expected), ("actual", actual)):
        occupied = leaves.select(leaves.occupied).cells(resolution)
        free = leaves.select(~leaves.occupied).cells(resolution)
        # Where the camera was is not known: about half way up is a good guess indoors.
        middle = np.median(occupied.centers, axis=0, keepdims=True)[: len(occupied)]
        below = ceiling(occupied, middle.astype(np.float32))
        sides.append((title, render_top(occupied, free, width=640, height=480, below=below)))
    file = picture_file(run, name)
    file.write_bytes(encode_png(panel_page(name, sides, [])))
    return file
