"""What the nodes answered, out of the messages of a results bag, with class names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_perception.messages.decode import decode_label_info
from cnn_perception.recording.bag import BagReader
from cnn_perception.types import Float32Array, Float64Array

__all__ = [
    "ClassNames",
    "LabelledBoxes",
    "LabelledBoxes3D",
    "decode_boxes",
    "decode_boxes_3d",
    "decode_classes",
    "names_of",
    "read_class_names",
]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBoxes:
    """Detections of one image: N labels, float32 (N,) scores, float32 (N, 4) corners in pixels."""

    labels: tuple[str, ...]
    scores: Float32Array
    boxes: Float32Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBoxes3D:
    """Detections in space: N labels, float32 (N,) scores, float64 (N, 3) centres and edges, m."""

    labels: tuple[str, ...]
    scores: Float32Array
    centers: Float64Array
    sizes: Float64Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class ClassNames:
    """A node's label_info: names by class id, and the lowest score that it keeps."""

    names: dict[int, str]
    threshold: float

    def listed(self) -> tuple[str, ...]:
        """Return the names in the order of their ids; ``class 3`` where an id has none."""
        return tuple(
            self.names.get(k, f"class {k}") for k in range(max(self.names, default=-1) + 1)
        )


def decode_boxes(message: Any) -> LabelledBoxes:
    """Return a vision_msgs/Detection2DArray; a detection's class is its best hypothesis."""
    labels, scores = _best(message)
    corners = np.zeros((len(labels), 4), np.float64)
    for row, detection in zip(corners, message.detections, strict=True):
        box = detection.bbox
        middle = np.array((box.center.position.x, box.center.position.y))
        half = np.array((box.size_x, box.size_y)) / 2
        row[:2], row[2:] = middle - half, middle + half
    return LabelledBoxes(labels, scores, corners.astype(np.float32))


def decode_boxes_3d(message: Any) -> LabelledBoxes3D:
    """Return a vision_msgs/Detection3DArray; a detection's class is its best hypothesis."""
    labels, scores = _best(message)
    centers, sizes = np.zeros((2, len(labels), 3))
    for k, detection in enumerate(message.detections):
        place, size = detection.bbox.center.position, detection.bbox.size
        centers[k], sizes[k] = (place.x, place.y, place.z), (size.x, size.y, size.z)
    return LabelledBoxes3D(labels, scores, centers, sizes)


def decode_classes(message: Any) -> LabelledBoxes:
    """Return a vision_msgs/Classification: classes of the whole image, whose boxes are all zero."""
    labels = tuple(str(result.class_id) for result in message.results)
    scores = np.array([result.score for result in message.results], np.float32)
    return LabelledBoxes(labels, scores, np.zeros((len(labels), 4), np.float32))


def read_class_names(bag: BagReader) -> dict[str, ClassNames]:
    """Return the label_info of each node that has one, by node; the last one counts.

    Raises MessageError when an id has two names.
    """
    topics = [topic.name for topic in bag.topics if topic.msgtype == "vision_msgs/msg/LabelInfo"]
    found = {}
    for item in bag.messages(topics) if topics else ():
        node = item.topic.strip("/").rpartition("/")[0]
        found[node] = ClassNames(decode_label_info(item.message), float(item.message.threshold))
    return found


def names_of(classes: Mapping[str, ClassNames], node: str) -> ClassNames | None:
    """Return the classes of a node; an explainer's are those of the detector beside it."""
    camera, _, own = node.strip("/").rpartition("/")
    beside = f"{camera}/detector".strip("/") if own == "explainer" else ""
    return classes.get(node.strip("/")) or classes.get(beside)


def _best(message: Any) -> tuple[tuple[str, ...], Float32Array]:
    """Return label and score of each detection's best hypothesis; no label where it has none."""
    labels, scores = [], []
    for detection in message.detections:
        hypotheses = [result.hypothesis for result in detection.results]
        best = max(hypotheses, key=lambda hypothesis: hypothesis.score, default=None)
        labels.append("" if best is None else str(best.class_id))
        scores.append(0.0 if best is None else float(best.score))
    return tuple(labels), np.array(scores, np.float32)
