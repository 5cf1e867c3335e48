"""``yolo_v8``: one box per column without objectness, as YOLOv8 and YOLO11 answer."""

from __future__ import annotations

from typing import ClassVar

from cnn_perception.formats.format import (
    Bundle,
    Candidates,
    ClassAxes,
    ClassScores,
    DetectionFormat,
    Tensors,
    TorchTensors,
    best_class_of_each,
)

__all__ = ["YoloV8Format"]


class YoloV8Format(DetectionFormat):
    """Columns of cx, cy, w, h in pixels of the input, classes; the score is the best class's."""

    name = "yolo_v8"
    shapes: ClassVar = {"predictions": (1, "C+4", "N")}
    class_axes = ClassAxes("predictions", (2,), 1, 4)

    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        columns, size = tensors["predictions"], (bundle.input.width, bundle.input.height)
        return best_class_of_each(columns[:4], columns[4:], threshold, size)

    def class_scores(self, tensors: TorchTensors) -> ClassScores:
        scores = tensors["predictions"][:, 4:].transpose(1, 2)
        return scores, scores
