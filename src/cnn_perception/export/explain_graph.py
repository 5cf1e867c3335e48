"""Explain graphs: Grad-CAM and Grad-CAM++ with the backward pass of a head, as ONNX nodes."""

from __future__ import annotations

import math

import numpy as np
from onnx import ModelProto

from cnn_perception.export.backward.gradient import add_backward
from cnn_perception.export.class_logits import ClassLogits
from cnn_perception.export.onnx_graph import GraphWriter, OnnxGraph

__all__ = ["class_explanation", "level_explanation", "region_explanation"]

_STABILISER = 1e-6
"""Of Grad-CAM++'s denominator, as in pytorch-grad-cam and `explain.methods.grad_cam`."""


def class_explanation(graph: OnnxGraph, feature_map: str, logits: str) -> ModelProto:
    """Return the explanation of a class's logit.

    logits: tensor (1, C). The graph takes feature_map float32 (1, K, h, w) and class_index int64
    (1,), and answers with cam and cam_plus_plus, both float32 (1, h, w); see `_add_cams`.
    """
    writer = _begin(graph, feature_map)
    seed = _one_hot(writer, graph.shapes[logits][1])
    return _finish(writer, feature_map, logits, seed)


def level_explanation(graph: OnnxGraph, feature_map: str, logits: ClassLogits) -> ModelProto:
    """Return the explanation of a class's logit at one box of a detector's level.

    logits: those of the level. The graph takes feature_map float32 (1, K, h, w), anchor int64 (1,),
    a box of the level, and class_index int64 (1,); it answers as that of `class_explanation`.
    """
    writer = _begin(graph, feature_map)
    writer.input("anchor", (1,), integer=True)
    per_box, per_class, first = (
        writer.constant([value], np.int64) for value in logits.strides(graph)
    )
    place = writer.add("Add", writer.add("Mul", "anchor", per_box), first)
    place = writer.add("Add", place, writer.add("Mul", "class_index", per_class))
    shape = graph.shapes[logits.tensor]
    zeros = writer.zeros([math.prod(shape)])
    flat = writer.add("ScatterElements", zeros, place, writer.constant([1.0]), axis=0)
    seed = writer.add("Reshape", flat, writer.constant(shape, np.int64))
    return _finish(writer, feature_map, logits.tensor, seed)


def region_explanation(graph: OnnxGraph, feature_map: str, logits: str) -> ModelProto:
    """Return the explanation of a class's logits summed over a region.

    logits: tensor (1, C, H, W). The graph takes feature_map float32 (1, K, h, w), class_index int64
    (1,) and region float32 (1, H, W), the weight of each logit; it answers as that of
    `class_explanation`. Tensors of the network that join the way from the feature map to the logits
    are further inputs, by their names there.
    """
    writer = _begin(graph, feature_map)
    shape = graph.shapes[logits]
    region = writer.input("region", (1, *shape[2:]))
    chosen = writer.add(
        "Reshape", _one_hot(writer, shape[1]), writer.constant([1, shape[1], 1, 1], np.int64)
    )
    weights = writer.add("Unsqueeze", region, writer.constant([1], np.int64))
    return _finish(writer, feature_map, logits, writer.add("Mul", chosen, weights))


def _begin(graph: OnnxGraph, feature_map: str) -> GraphWriter:
    graph.check_map(feature_map, graph.outputs)
    writer = GraphWriter(graph)
    writer.rename(feature_map, writer.input("feature_map", graph.shapes[feature_map]))
    writer.input("class_index", (1,), integer=True)
    return writer


def _one_hot(writer: GraphWriter, classes: int) -> str:
    """Return the row (1, classes) that is 1 at class_index."""
    every = writer.constant(np.arange(classes)[None], np.int64)
    equal = writer.add("Equal", every, "class_index")
    return writer.add("Cast", equal, to=1)


def _finish(writer: GraphWriter, feature_map: str, logits: str, seed: str) -> ModelProto:
    gradient = add_backward(writer, feature_map, logits, seed)
    _, channels, height, width = writer.origin.shapes[feature_map]
    shape = (1, height, width)
    _add_cams(writer, gradient, channels, shape)
    return writer.model([("cam", shape), ("cam_plus_plus", shape)])


def _add_cams(
    writer: GraphWriter, gradient: str, channels: int, shape: tuple[int, int, int]
) -> None:
    """Add the maps' sum by either weights, relu(sum_k w_k A_k).

    Grad-CAM: w_k = mean g_k (Selvaraju et al. 2017, equations 1 and 2). Grad-CAM++: w_k = sum a_k
    relu(g_k), a = g^2 / (2 g^2 + g^3 sum A) (Chattopadhay et al. 2018, equations 12 and 19), which
    is the sum of r^3 / (2 r^2 + r^3 sum A) for r = relu(g).
    """
    add, constant = writer.add, writer.constant
    rows = constant([1, channels, shape[1] * shape[2]], np.int64)
    last = constant([2], np.int64)
    maps = add("Reshape", "feature_map", rows)
    g = add("Reshape", gradient, rows)
    mean = add("ReduceMean", g, last, keepdims=1)
    r = add("Relu", g)
    squares = add("Mul", r, r)
    steep = add("Mul", r, add("ReduceSum", maps, last, keepdims=1))
    denominators = add(
        "Add", add("Mul", squares, add("Add", steep, constant(2.0))), constant(_STABILISER)
    )
    shares = add("Div", add("Mul", squares, r), denominators)
    shared = add("ReduceSum", shares, last, keepdims=1)
    for name, weights in (("cam", mean), ("cam_plus_plus", shared)):
        across = add("Reshape", weights, constant([1, 1, channels], np.int64))
        summed = add("Relu", add("MatMul", across, maps))
        writer.add_named(name, "Reshape", summed, constant(shape, np.int64))
