"""Gradients of pooling and resizing."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from cnn_perception.export.backward.rules import Rule, RuleWriter, unsupported, window_pads
from cnn_perception.export.onnx_graph import IR_VERSION, attributes

__all__ = ["OPERATORS"]


def _average_pool(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    known = attributes(node)
    kernel = known["kernel_shape"]
    pads = window_pads(w, node, kernel)
    if any(step != 1 for step in known.get("dilations", (1, 1))):
        raise unsupported(w, node, "dilations")
    matrices = [
        _window_means(
            *(w.shape(node.input[0])[2 + axis], w.shape(node.output[0])[2 + axis], kernel[axis]),
            known.get("strides", (1, 1))[axis],
            (pads[axis], pads[2 + axis]),
            padding_counts=bool(known.get("count_include_pad", 0)),
        )
        for axis in (0, 1)
    ]
    return {0: w.separable(gradient, *matrices)}


def _window_means(
    side: int, out: int, kernel: int, stride: int, pads: tuple[int, int], *, padding_counts: bool
) -> NDArray[np.float64]:
    """Return the matrix (out, side) that averages over windows along one axis."""
    matrix = np.zeros((out, side))
    for row in range(out):
        first = row * stride - pads[0]
        last = min(first + kernel, side + pads[1])
        inside = slice(max(0, first), min(last, side))
        matrix[row, inside] = 1 / (last - first if padding_counts else inside.stop - inside.start)
    return matrix


def _max_pool(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    known = attributes(node)
    shape = w.shape(node.input[0])
    _, places = w.add_many("MaxPool", [w.value(node.input[0])], 2, **known)
    size = math.prod(shape)
    # The places are those in the flattened input; windows overlap, so that shares add up.
    back = w.add(
        *("ScatterElements", w.zeros([size])),
        *(w.reshaped(places, [-1]), w.reshaped(gradient, [-1])),
        axis=0,
        reduction="add",
    )
    return {0: w.reshaped(back, shape)}


def _resize(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    shape, made = w.shape(node.input[0]), w.shape(node.output[0])
    if len(shape) != 4 or shape[:2] != made[:2]:
        raise unsupported(w, node, f"shape {shape} to {made}")
    return {0: w.separable(gradient, *(_resize_matrix(w, node, axis) for axis in (2, 3)))}


def _resize_matrix(w: RuleWriter, node: NodeProto, axis: int) -> NDArray[np.float32]:
    """Return what a Resize does along one axis, float32 (out, side): its answer to unit vectors."""
    known = attributes(node)
    crops = known.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    keeps_aspect = known.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    if crops or keeps_aspect or "axes" in known:
        raise unsupported(w, node, "a region, axes or an aspect ratio")
    side, out = w.shape(node.input[0])[axis], w.shape(node.output[0])[axis]
    scales = w.graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if scales is not None and scales.size:  # they place the samples, not the rounded sizes
        names, size = ["x", "", "size"], np.ones(4, np.float32)
        size[axis] = scales[axis]
    else:
        names, size = ["x", "", "", "size"], np.array([1, side, 1, 1])
        size[axis] = out
    graph = helper.make_graph(
        [helper.make_node("Resize", names, ["y"], **known)],
        "axis",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(size, "size")],
    )
    opset = helper.make_opsetid("", w.graph.opset)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    units = np.eye(side, dtype=np.float32)[None]
    (answer,) = session.run(None, {"x": np.expand_dims(units, 5 - axis)})
    return np.asarray(answer.reshape(side, out).T)


OPERATORS: Mapping[str, Rule] = {
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
    "Resize": _resize,
}
