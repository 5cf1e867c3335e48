"""Writes small detector bundles that answer as published families of networks do.

Like the detector of `models`, they see colored cells of 6x8 in 128x96 pictures; labels are red,
green, blue. Every cell is answered twice: with the box of the cell, and with a weaker twin one
pixel of the network's input to the right, which suppression removes. For a pure color of strength
v the scores are `score_of(v)` and `twin_score_of(v)`; yolo_v5 has objectness as large as the class
score, and answers with the square of both.

- ``yolo_v5``, ``yolo_v8``: ``predictions``, rows or columns, 96 boxes.
- ``torchvision``: ``boxes``, ``labels`` (from 1), ``scores`` of what scores above 0.3: as many as
  there are.
- ``detr``: ``logits`` with no object last, ``boxes``; 96 queries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from models import (
    GAIN,
    GRIDS,
    HEIGHT,
    LABELS,
    WIDTH,
    GraphBuilder,
    answer_weights,
    cell_box,
    write_bundle,
)

FORMATS = ("detr", "torchvision", "yolo_v5", "yolo_v8")
QUERIES = 2 * GRIDS[0][0] * GRIDS[0][1]
_SHOWN = 0.3

Shapes = dict[str, tuple[int | str, ...]]


def twin_score_of(strength: float) -> float:
    """Return the score of a cell's twin, for one pure color of strength in 0..255."""
    return 1.0 / (1.0 + math.exp(1.0 - GAIN * (strength / 255.0 - 0.5)))


def write_format_bundle(
    folder: Path, form: str, *, changes: Mapping[str, Any] | None = None
) -> Path:
    """Write a bundle of one of FORMATS into a folder, which is made; returns the folder.

    `changes` replaces top-level keys of model.yaml.
    """
    graph = GraphBuilder()
    rows = GRIDS[0][0]
    feature = graph.pool("image", HEIGHT // rows, "feature")
    bias = np.full(3, -GAIN / 2)
    graph.add(
        "Concat",
        [
            graph.head(feature, GAIN * answer_weights(), bias, outputs=3),
            graph.head(feature, GAIN * answer_weights(), bias - 1, outputs=3),
        ],
        "class_logits",
        axis=1,
    )
    output, shapes, dtypes = {
        "detr": _detr,
        "torchvision": _torchvision,
        "yolo_v5": _yolo_v5,
        "yolo_v8": _yolo_v8,
    }[form](graph)
    iou = {"iou": 0.45} if form.startswith("yolo") else {}
    description: dict[str, Any] = {
        "task": "detection",
        "output": {"format": form, "tensors": {name: name for name in shapes}, **output},
        "labels": list(LABELS),
        "thresholds": {"score": 0.5, **iou},
    }
    model = graph.model({"image": (1, 3, HEIGHT, WIDTH)}, shapes, dtypes)
    return write_bundle(folder, model, description, [], changes)


def _corners() -> NDArray[np.float32]:
    """Boxes of the cells, then of the twins, float32 (96, 4) corners in pixels of the input."""
    rows, columns = GRIDS[0]
    cells = [cell_box(r, c, 0, WIDTH, HEIGHT) for r in range(rows) for c in range(columns)]
    boxes = np.array(cells, np.float32)
    return np.vstack([boxes, boxes + np.array([1, 0, 1, 0], np.float32)])


def _centers() -> NDArray[np.float32]:
    x0, y0, x1, y1 = _corners().T
    return np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], axis=1)


def _detr(graph: GraphBuilder) -> tuple[dict[str, Any], Shapes, dict[str, int]]:
    no_object = graph.constant(np.zeros((1, QUERIES, 1)))
    graph.add("Concat", ["class_logits", no_object], "logits", axis=2)
    size = np.array([WIDTH, HEIGHT] * 2, np.float32)
    graph.add("Identity", [graph.constant((_centers() / size)[None])], "boxes")
    return {}, {"logits": (1, QUERIES, 4), "boxes": (1, QUERIES, 4)}, {}


def _torchvision(graph: GraphBuilder) -> tuple[dict[str, Any], Shapes, dict[str, int]]:
    graph.add("Sigmoid", ["class_logits"], "class_scores")
    flat = graph.constant([QUERIES], np.int64)
    graph.add("ReduceMax", ["class_scores"], "best", axes=[0, 2], keepdims=0)
    graph.add("ArgMax", ["class_scores"], "best_class", axis=2)
    graph.add("Reshape", ["best_class", flat], "class_index")
    graph.add("Add", ["class_index", graph.constant(1, np.int64)], "label")
    graph.add("Greater", ["best", graph.constant(_SHOWN)], "shown")
    graph.add("Compress", ["best", "shown"], "scores", axis=0)
    graph.add("Compress", ["label", "shown"], "labels", axis=0)
    graph.add("Compress", [graph.constant(_corners()), "shown"], "boxes", axis=0)
    shapes: Shapes = {"boxes": ("count", 4), "labels": ("count",), "scores": ("count",)}
    return {"background": 0}, shapes, {"labels": TensorProto.INT64}


def _yolo_v5(graph: GraphBuilder) -> tuple[dict[str, Any], Shapes, dict[str, int]]:
    graph.add("Sigmoid", ["class_logits"], "class_scores")
    graph.add("ReduceMax", ["class_scores"], "objectness", axes=[2])
    boxes = graph.constant(_centers()[None])
    graph.add("Concat", [boxes, "objectness", "class_scores"], "predictions", axis=2)
    return {}, {"predictions": (1, QUERIES, 8)}, {}


def _yolo_v8(graph: GraphBuilder) -> tuple[dict[str, Any], Shapes, dict[str, int]]:
    graph.add("Sigmoid", ["class_logits"], "class_scores")
    graph.add("Concat", [graph.constant(_centers()[None]), "class_scores"], "rows", axis=2)
    graph.add("Transpose", ["rows"], "predictions", perm=[0, 2, 1])
    return {}, {"predictions": (1, 7, QUERIES)}, {}
