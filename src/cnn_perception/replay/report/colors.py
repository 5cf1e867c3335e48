"""The colors of classes in a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from cnn_perception.image.draw import palette
from cnn_perception.messages.decode import LabelledBoxes
from cnn_perception.types import Detections, UInt8Array

__all__ = ["LabelColors"]

_COLORS = 256
_BACKGROUND = "background"


class LabelColors:
    """One color for each class name, in boxes, masks and charts; ``background`` is black.

    They are those of `palette`, in the order in which names are first asked for.
    """

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self._table = palette(_COLORS)
        self._index: dict[str, int] = {}
        for label in labels:
            self.index(label)

    def index(self, label: str) -> int:
        """Return the number of a class name among all that were asked for."""
        return self._index.setdefault(label, len(self._index))

    def css(self, label: str) -> str:
        """Return a color as #rrggbb."""
        red, green, blue = self._table[self.index(label) % _COLORS].tolist()
        return f"#{red:02x}{green:02x}{blue:02x}"

    def of_ids(self, names: Mapping[int, str], highest: int) -> UInt8Array:
        """Return uint8 (highest + 1, 3) colors of class ids, by their names."""
        table = np.zeros((highest + 1, 3), np.uint8)
        for class_id in range(highest + 1):
            name = names.get(class_id, f"class {class_id}")
            if name != _BACKGROUND:
                table[class_id] = self._table[self.index(name) % _COLORS]
        return table

    def detections(self, found: LabelledBoxes) -> tuple[Detections, dict[int, str], UInt8Array]:
        """Return boxes as `draw_detections` takes them: with ids, their names and colors."""
        ids = np.array([self.index(label) for label in found.labels], np.int32)
        names = dict(zip(ids.tolist(), found.labels, strict=True))
        return Detections(found.boxes, found.scores, ids), names, self._table
