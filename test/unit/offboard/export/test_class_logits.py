"""Class logits found behind what makes a detector's answers of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="no onnx: install cnn_perception with [test]")
pytest.importorskip("torch", reason="no torch: install cnn_perception with [train]")

from onnx import TensorProto, helper  # noqa: E402

from cnn_perception.offboard.export.bundle import prepared  # noqa: E402
from cnn_perception.offboard.export.class_logits import (  # noqa: E402
    ClassLogits,
    class_logits,
    logits_of_levels,
)
from cnn_perception.offboard.export.explain import explain_bundle  # noqa: E402
from cnn_perception.offboard.export.onnx_graph import OnnxGraph  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from models import GRIDS, HEIGHT, LABELS, WIDTH, GraphBuilder, paint, write_bundle  # noqa: E402

RNG = np.random.default_rng(3)


def ultralytics(folder: Path) -> Path:
    """A head as YOLOv8 has it: boxes and classes joined, levels joined, split, and joined again."""
    graph = GraphBuilder()
    levels = []
    for level, (rows, columns) in enumerate(GRIDS):
        feature = graph.pool("image", HEIGHT // rows, f"feature_{level}")
        branches = [
            graph.convolve(feature, RNG.normal(size=(count, 3)), np.zeros(count), f"{name}_{level}")
            for name, count in (("boxes", 4), ("classes", 3))
        ]
        both = graph.add("Concat", branches, f"both_{level}", axis=1)
        flat = graph.constant([1, 7, rows * columns], np.int64)
        levels.append(graph.add("Reshape", [both, flat], f"level_{level}"))
    graph.add("Concat", levels, "joined", axis=2)
    graph._nodes.append(
        helper.make_node("Split", ["joined", graph.constant([4, 3], np.int64)], ["b", "c"], axis=1)
    )
    graph.add("Sigmoid", ["c"], "scores")
    graph.add("Concat", ["b", "scores"], "predictions", axis=1)
    count = sum(rows * columns for rows, columns in GRIDS)
    model = graph.model({"image": (1, 3, HEIGHT, WIDTH)}, {"predictions": (1, 7, count)})
    description: dict[str, Any] = {
        "task": "detection",
        "output": {"format": "yolo_v8", "tensors": {"predictions": "predictions"}},
        "labels": list(LABELS),
        "thresholds": {"score": 0.5, "iou": 0.45},
    }
    return write_bundle(folder, model, description, [], None)


def test_yolo_v8_is_traced_to_its_levels(tmp_path: Path) -> None:
    bundle = load_bundle(ultralytics(tmp_path / "yolo"))
    graph = OnnxGraph(bundle.model, (1, 3, HEIGHT, WIDTH))
    found = class_logits(graph, bundle)
    assert found == ClassLogits("joined", (2,), 1, 4)
    parts = logits_of_levels(graph, found)
    assert [part.tensor for part in parts] == ["level_0", "level_1"]
    assert [part.count(graph) for part in parts] == [48, 12]
    assert parts[0].strides(graph) == (1, 48, 4 * 48)
    picture = paint({(1, 5): "red"})
    proofs = explain_bundle(bundle, tmp_path / "yolo", prepared(bundle.input, [picture]))
    assert [(x.level, x.feature_map) for x in proofs] == [(0, "feature_0"), (1, "feature_1")]
    anchors = [(x.first, x.count) for x in load_bundle(tmp_path / "yolo").explain]
    assert anchors == [(0, 48), (48, 12)]


@pytest.mark.parametrize("anchor_axes", [(1,), (2, 3)])
def test_a_table_writes_where_strides_say(tmp_path: Path, anchor_axes: tuple[int, ...]) -> None:
    class_axis = 2 if anchor_axes == (1,) else 1
    shape = (1, 6, 5) if class_axis == 2 else (1, 5, 2, 3)
    logits = ClassLogits("y", anchor_axes, class_axis, 2)
    node = helper.make_node("Identity", ["x"], ["y"])
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    model = helper.make_model(
        helper.make_graph([node], "one", tensors[:1], tensors[1:]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "one.onnx")
    graph = OnnxGraph(tmp_path / "one.onnx", shape)
    assert logits.count(graph) == 6
    per_box, per_class, first = logits.strides(graph)
    values = np.arange(30, dtype=np.float32).reshape(shape)
    table = logits.table(values).reshape(6, 3)
    expected = first + per_box * np.arange(6)[:, None] + per_class * np.arange(3)
    np.testing.assert_array_equal(table, expected)
    assert np.shares_memory(logits.table(values), values)
