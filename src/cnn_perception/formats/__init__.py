"""The output formats of model.yaml: one module and one class each, all about it in one place.

A further format is a module with a class, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping

from cnn_perception.formats.boxes_scores import BoxesScoresFormat
from cnn_perception.formats.class_logits import ClassLogitsFormat
from cnn_perception.formats.detr import DetrFormat
from cnn_perception.formats.fastestdet import FastestDetFormat
from cnn_perception.formats.format import OutputFormat
from cnn_perception.formats.mask_index import MaskIndexFormat
from cnn_perception.formats.mask_logits import MaskLogitsFormat
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.formats.torchvision import TorchvisionFormat
from cnn_perception.formats.yolo_v5 import YoloV5Format
from cnn_perception.formats.yolo_v8 import YoloV8Format

__all__ = ["OUTPUT_FORMATS"]

OUTPUT_FORMATS: Mapping[str, type[OutputFormat]] = {
    form.name: form
    for form in (
        SsdRawFormat,
        BoxesScoresFormat,
        FastestDetFormat,
        YoloV5Format,
        YoloV8Format,
        TorchvisionFormat,
        DetrFormat,
        MaskLogitsFormat,
        MaskIndexFormat,
        ClassLogitsFormat,
    )
}
"""By the name that model.yaml's output.format gives."""
