"""The class names of a results bag, by the nodes that published them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cnn_perception.messages.decode import decode_label_info
from cnn_perception.recording.bag import BagReader

__all__ = ["ClassNames", "names_of", "read_class_names"]


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
