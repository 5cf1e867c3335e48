"""``yolo_v8``: one box per column without objectness, as YOLOv8 and YOLO11 answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cnn_perception.formats.format import (
    Candidates,
    ClassAxes,
    DetectionFormat,
    Expected,
    Tensors,
    best_class_of_each,
)

if TYPE_CHECKING:
    from torch import Tensor

    from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["YoloV8Format"]


@dataclass(frozen=True, eq=False)
class YoloV8Format(DetectionFormat):
    """Columns of cx, cy, w, h in pixels of the input, classes; the score is the best class's."""

    name: ClassVar[str] = "yolo_v8"
    roles: ClassVar[tuple[str, ...]] = ("predictions",)
    class_axes: ClassVar[ClassAxes | None] = ClassAxes("predictions", (2,), 1, 4)

    def expected(self, labels: int) -> Mapping[str, Expected]:
        """Return (1, 4 + C, N) predictions."""
        return {"predictions": Expected((1, labels + 4, "N"))}

    def decode(self, tensors: Tensors, threshold: float, bundle: ModelBundle) -> Candidates:
        """Return the best class of each box."""
        columns, size = tensors["predictions"], (bundle.input.width, bundle.input.height)
        return best_class_of_each(columns[:4], columns[4:], threshold, size)

    def class_scores(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the scores, twice."""
        scores = tensors["predictions"][:, 4:].transpose(1, 2)
        return scores, scores
