"""Writes small, complete model bundles whose answers follow from the picture by simple rules.

All three networks take 128x96 pictures, stretched. They see colored cells: `paint` makes a
picture with them, `cell_box` says where a cell lies. A cell's answer for a color is the mean of
that channel minus the means of the other two, so a pure color of strength v in 0..255 answers
v / 255, and white and grey answer below zero.

- Detector (`ssd_raw`): labels red, green, blue. Level 0 has 6x8 cells and sees red and green, level
  1 has 3x4 cells and sees blue. Exactly one default box of each cell, the third of four, can score;
  it is the cell itself. Score = sigmoid(20 * (answer - 0.5)): 0.99995 for full strength. Its
  explain graphs light every cell that shows the class (by the answer, if positive), and the
  explained cell twice as much.
- Segmenter (`mask_index` or `mask_logits`): labels background, red, green, blue; 12x16 cells; a
  cell has a color's class where the answer is above 0.5; its explain graph lights the cells of the
  region that show the class.
- Classifier (`class_logits`): labels red, green, blue; logit = 10 * answer over the whole picture;
  its explain graph lights the cells of 6x8 that show the class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from cnn_perception.runtime.bundle import file_digest

WIDTH, HEIGHT = 128, 96
LABELS = ("red", "green", "blue")
COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3}
GRIDS = ((6, 8), (3, 4))
BOXES_PER_CELL = 4
CELL_BOX = 2
GAIN = 20.0
_SILENT = -50.0


def paint(
    cells: Mapping[tuple[int, int], str | tuple[int, int, int]],
    *,
    level: int = 0,
    width: int = 640,
    height: int = 480,
) -> NDArray[np.uint8]:
    """Return a black RGB picture with the given cells (row, column) of a level colored."""
    picture = np.zeros((height, width, 3), np.uint8)
    for (row, column), color in cells.items():
        x0, y0, x1, y1 = (round(v) for v in cell_box(row, column, level, width, height))
        picture[y0:y1, x0:x1] = COLORS[color] if isinstance(color, str) else color
    return picture


def cell_box(
    row: int, column: int, level: int = 0, width: int = 640, height: int = 480
) -> tuple[float, float, float, float]:
    """Return the corners of a cell in pixels of a picture of that size; a detection's box."""
    rows, columns = GRIDS[level]
    across, down = width / columns, height / rows
    return column * across, row * down, (column + 1) * across, (row + 1) * down


def anchor_of(row: int, column: int, level: int = 0) -> int:
    """Return the index of the one default box of a cell that can score."""
    before = sum(r * c * BOXES_PER_CELL for r, c in GRIDS[:level])
    return before + (row * GRIDS[level][1] + column) * BOXES_PER_CELL + CELL_BOX


def score_of(strength: float) -> float:
    """Return the detector's score for a cell of one pure color, strength in 0..255."""
    return 1.0 / (1.0 + math.exp(-GAIN * (strength / 255.0 - 0.5)))


def write_detector_bundle(
    folder: Path, *, explain: bool = True, changes: Mapping[str, Any] | None = None
) -> Path:
    """Write an ``ssd_raw`` bundle into a folder, which is made; returns the folder.

    `changes` replaces top-level keys of model.yaml.
    """
    graph = GraphBuilder()
    logits, deltas = [], []
    for level, (rows, _) in enumerate(GRIDS):
        feature = graph.pool("image", HEIGHT // rows, f"feature_{level}")
        seen = LABELS[:2] if level == 0 else LABELS[2:]
        logits.append(graph.head(feature, *_class_head(seen), outputs=4))
        count = BOXES_PER_CELL * 4
        deltas.append(graph.head(feature, np.zeros((count, 3)), np.zeros(count), outputs=4))
    graph.add("Concat", logits, "logits", axis=1)
    graph.add("Concat", deltas, "deltas", axis=1)
    count = sum(r * c * BOXES_PER_CELL for r, c in GRIDS)
    outputs: dict[str, tuple[int, ...]] = {
        "logits": (1, count, 4),
        "deltas": (1, count, 4),
        **{f"feature_{level}": (1, 3, *grid) for level, grid in enumerate(GRIDS)},
    }
    model = graph.model({"image": (1, 3, HEIGHT, WIDTH)}, outputs)
    scale = 0.125 / math.sqrt(0.75)
    description: dict[str, Any] = {
        "task": "detection",
        "output": {
            "format": "ssd_raw",
            "tensors": {"class_logits": "logits", "box_deltas": "deltas"},
            "default_boxes": {
                "feature_maps": [list(grid) for grid in GRIDS],
                "scales": [scale, 2 * scale, 4 * scale],
                "aspect_ratios": [[0.75], [0.75]],
            },
            "variances": [0.1, 0.1, 0.2, 0.2],
        },
        "labels": list(LABELS),
        "thresholds": {"score": 0.5, "iou": 0.45},
    }
    extra = [_explain_level(level) for level in range(len(GRIDS))] if explain else []
    return write_bundle(folder, model, description, extra, changes)


def write_segmenter_bundle(
    folder: Path,
    *,
    form: str = "mask_index",
    explain: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a ``mask_index`` or ``mask_logits`` bundle into a folder; returns the folder."""
    graph = GraphBuilder()
    feature = graph.pool("image", 8, "feature")
    weights = np.vstack([np.zeros(3), answer_weights()])
    graph.convolve(feature, weights, np.array([0.5, 0, 0, 0]), "scores")
    outputs: dict[str, tuple[int, ...]] = {"scores": (1, 4, 12, 16)}
    dtypes = {}
    if form == "mask_index":
        graph.add("ArgMax", ["scores"], "index", axis=1, keepdims=0)
        graph.add("Cast", ["index"], "mask", to=TensorProto.UINT8)
        outputs, dtypes = {"mask": (1, 12, 16)}, {"mask": TensorProto.UINT8}
    if explain:
        outputs["feature"] = (1, 3, 12, 16)
    model = graph.model({"image": (1, 3, HEIGHT, WIDTH)}, outputs, dtypes)
    description: dict[str, Any] = {
        "task": "segmentation",
        "output": {"format": form, "tensors": {form: next(iter(outputs))}},
        "labels": ["background", *LABELS],
        "palette": [[0, 0, 0], [200, 30, 30], [30, 200, 30], [30, 30, 200]],
    }
    extra = [(_explain_areas(), {"level": 0})] if explain else []
    return write_bundle(folder, model, description, extra, changes)


def write_classifier_bundle(folder: Path, *, changes: Mapping[str, Any] | None = None) -> Path:
    """Write a ``class_logits`` bundle with an explain graph into a folder; returns the folder."""
    graph = GraphBuilder()
    feature = graph.pool("image", 16, "feature")
    graph.convolve(feature, 10 * answer_weights(), np.zeros(3), "cells")
    graph.add("GlobalAveragePool", ["cells"], "pooled")
    graph.add("Flatten", ["pooled"], "logits", axis=1)
    model = graph.model(
        {"image": (1, 3, HEIGHT, WIDTH)}, {"logits": (1, 3), "feature": (1, 3, *GRIDS[0])}
    )
    description: dict[str, Any] = {
        "task": "classification",
        "output": {"format": "class_logits", "tensors": {"class_logits": "logits"}},
        "labels": list(LABELS),
        "thresholds": {"score": 0.5},
    }
    return write_bundle(folder, model, description, [(_explain_classes(), {"level": 0})], changes)


def free_the_batch(folder: Path) -> Path:
    """Give a bundle's network a batch of any size, as `models export --dynamic-batch` does."""
    path = folder / "model.onnx"
    before = file_digest(path)
    model = ModelProto.FromString(path.read_bytes())
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    path.write_bytes(model.SerializeToString())
    description = folder / "model.yaml"
    text = description.read_text(encoding="utf-8").replace(before, file_digest(path))
    description.write_text(text, encoding="utf-8")
    return folder


class GraphBuilder:
    """Collects nodes and weights of one ONNX graph."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def pool(self, image: str, size: int, output: str) -> str:
        shape = [size, size]
        return self.add("AveragePool", [image], output, kernel_shape=shape, strides=shape)

    def convolve(self, feature: str, weights: Any, bias: Any, output: str) -> str:
        kernel = self.constant(np.asarray(weights, np.float32)[:, :, None, None])
        return self.add("Conv", [feature, kernel, self.constant(bias)], output)

    def head(self, feature: str, weights: Any, bias: Any, *, outputs: int) -> str:
        """A 1x1 head as SSD's: (B, boxes * outputs, h, w) to (B, h * w * boxes, outputs)."""
        raw = self.convolve(feature, weights, bias, f"head_{len(self._nodes)}")
        last = self.add("Transpose", [raw], f"{raw}_last", perm=[0, 2, 3, 1])
        shape = self.constant([0, -1, outputs], np.int64)
        return self.add("Reshape", [last, shape], f"{raw}_flat")

    def model(
        self,
        inputs: Mapping[str, tuple[int | str, ...]],
        outputs: Mapping[str, tuple[int | str, ...]],
        dtypes: Mapping[str, int] | None = None,
    ) -> ModelProto:
        def describe(tensors: Mapping[str, tuple[int | str, ...]]) -> list[ValueInfoProto]:
            return [
                helper.make_tensor_value_info(
                    name, (dtypes or {}).get(name, TensorProto.FLOAT), shape
                )
                for name, shape in tensors.items()
            ]

        graph = helper.make_graph(
            self._nodes, "graph", describe(inputs), describe(outputs), self._weights
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model)
        return model


def answer_weights() -> NDArray[np.float32]:
    """Weights (3, 3) of each color's answer: its own channel minus the other two."""
    return (2 * np.eye(3) - np.ones((3, 3))).astype(np.float32)


def _class_head(seen: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights and biases of the class logits of one cell's four boxes, background first."""
    weights = np.zeros((BOXES_PER_CELL, 4, 3), np.float32)
    bias = np.full((BOXES_PER_CELL, 4), _SILENT, np.float32)
    bias[:, 0] = 0.0
    for index, (label, answer) in enumerate(zip(LABELS, answer_weights(), strict=True), start=1):
        if label in seen:
            weights[CELL_BOX, index] = GAIN * answer
            bias[CELL_BOX, index] = -GAIN / 2
    return weights.reshape(-1, 3), bias.reshape(-1)


def _class_map(graph: GraphBuilder, rows: NDArray[np.float32]) -> str:
    """Nodes for relu(sum over channels of weights[class] * feature): (1, h, w)."""
    weights = graph.constant(rows.reshape(len(rows), 3, 1, 1))
    graph.add("Gather", [weights, "class_index"], "chosen", axis=0)
    graph.add("Mul", ["feature_map", "chosen"], "weighted")
    graph.add("ReduceSum", ["weighted", graph.constant([1], np.int64)], "summed", keepdims=0)
    return graph.add("Relu", ["summed"], "shown")


def _explain_level(level: int) -> tuple[ModelProto, dict[str, Any]]:
    rows, columns = GRIDS[level]
    graph = GraphBuilder()
    shown = _class_map(graph, np.vstack([np.zeros(3, np.float32), answer_weights()]))
    per_cell = graph.constant([BOXES_PER_CELL], np.int64)
    graph.add("Div", ["anchor", per_cell], "cell")
    graph.add("Equal", [graph.constant(np.arange(rows * columns), np.int64), "cell"], "here")
    graph.add("Cast", ["here"], "here_float", to=TensorProto.FLOAT)
    shape = graph.constant([1, rows, columns], np.int64)
    graph.add("Reshape", ["here_float", shape], "once")
    graph.add("Add", ["once", graph.constant([1.0])], "twice")
    graph.add("Mul", [shown, "twice"], "cam")
    inputs = {"feature_map": (1, 3, rows, columns), "anchor": (1,), "class_index": (1,)}
    integers = {"anchor": TensorProto.INT64, "class_index": TensorProto.INT64}
    model = graph.model(inputs, {"cam": (1, rows, columns)}, integers)
    first = sum(r * c * BOXES_PER_CELL for r, c in GRIDS[:level])
    anchors = [first, rows * columns * BOXES_PER_CELL]
    return model, {"level": level, "feature_map": f"feature_{level}", "anchors": anchors}


def _explain_classes() -> ModelProto:
    graph = GraphBuilder()
    graph.add("Identity", [_class_map(graph, answer_weights())], "cam")
    inputs = {"feature_map": (1, 3, *GRIDS[0]), "class_index": (1,)}
    return graph.model(inputs, {"cam": (1, *GRIDS[0])}, {"class_index": TensorProto.INT64})


def _explain_areas() -> ModelProto:
    """Lights cells that show the class, by the answer, within the region."""
    graph = GraphBuilder()
    rows = np.vstack([np.zeros(3, np.float32), answer_weights()])
    graph.add("Mul", [_class_map(graph, rows), "region"], "cam")
    inputs = {"feature_map": (1, 3, 12, 16), "class_index": (1,), "region": (1, 12, 16)}
    return graph.model(inputs, {"cam": (1, 12, 16)}, {"class_index": TensorProto.INT64})


def write_bundle(
    folder: Path,
    model: ModelProto,
    description: Mapping[str, Any],
    explain: Sequence[tuple[ModelProto, Mapping[str, Any]]],
    changes: Mapping[str, Any] | None,
) -> Path:
    """Write model.onnx, explain/*.onnx and model.yaml."""
    (folder / "explain").mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    entries = []
    for graph, entry in explain:
        file = folder / "explain" / f"level_{entry['level']}.onnx"
        file.write_bytes(graph.SerializeToString())
        name = f"explain/{file.name}"
        entries.append(
            {"feature_map": "feature", **entry, "graph": name, "sha256": file_digest(file)}
        )
    content = {
        "name": folder.name,
        "version": "1.0",
        "description": "answers by color, for tests",
        "licence": "Apache-2.0",
        "source": "test/models.py",
        "model": {"file": "model.onnx", "sha256": file_digest(folder / "model.onnx")},
        "input": {
            "name": "image",
            "width": WIDTH,
            "height": HEIGHT,
            "channels": "rgb",
            "resize": "stretch",
            "mean": [0.0, 0.0, 0.0],
            "std": [255.0, 255.0, 255.0],
        },
        **description,
        **({"explain": entries} if entries else {}),
        **(changes or {}),
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder
