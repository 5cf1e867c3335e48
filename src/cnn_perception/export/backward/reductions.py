"""Gradients of sums, means and norms, and of what is normalised by them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from onnx import NodeProto

from cnn_perception.export.backward.rules import Rule, RuleWriter, unsupported
from cnn_perception.export.onnx_graph import attributes

__all__ = ["OPERATORS"]


def _axes(w: RuleWriter, node: NodeProto) -> list[int]:
    """Return the axes of a reduction, not negative."""
    rank = len(w.shape(node.input[0]))
    given = w.graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    if given is None and len(node.input) > 1 and node.input[1]:
        raise unsupported(w, node, "axes that vary")
    if given is None or given.size == 0:
        return [] if attributes(node).get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(int(axis) % rank for axis in given.reshape(-1))


def _spread(w: RuleWriter, node: NodeProto, gradient: str) -> str:
    """Return the gradient of a reduction laid over what was reduced."""
    shape = w.shape(node.input[0])
    kept = [1 if axis in _axes(w, node) else side for axis, side in enumerate(shape)]
    return w.add("Expand", w.reshaped(gradient, kept), w.integers(shape))


def _reduce_sum(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: _spread(w, node, gradient)}


def _reduce_mean(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    shape = w.shape(node.input[0])
    count = math.prod(shape[axis] for axis in _axes(w, node))
    return {0: _spread(w, node, w.add("Div", gradient, w.constant(float(count))))}


def _reduce_l2(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    unit = w.add("Div", w.value(node.input[0]), _spread(w, node, w.value(node.output[0])))
    return {0: w.add("Mul", _spread(w, node, gradient), unit)}


def _global_average_pool(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    shape = w.shape(node.input[0])
    share = w.add("Div", gradient, w.constant(float(math.prod(shape[2:]))))
    return {0: w.add("Expand", share, w.integers(shape))}


def _softmax(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    y = w.value(node.output[0])
    axis = w.integers([attributes(node).get("axis", -1)])
    mean = w.add("ReduceSum", w.add("Mul", gradient, y), axis, keepdims=1)
    return {0: w.add("Mul", y, w.add("Sub", gradient, mean))}


def _log_softmax(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    axis = w.integers([attributes(node).get("axis", -1)])
    total = w.add("ReduceSum", gradient, axis, keepdims=1)
    share = w.add("Mul", w.add("Exp", w.value(node.output[0])), total)
    return {0: w.add("Sub", gradient, share)}


def _layer_normalization(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    known = attributes(node)
    x, rank = w.value(node.input[0]), len(w.shape(node.input[0]))
    axes = w.integers(list(range(known.get("axis", -1) % rank, rank)))

    def mean(name: str) -> str:
        return w.add("ReduceMean", name, axes, keepdims=1)

    centred = w.add("Sub", x, mean(x))
    variance = mean(w.add("Mul", centred, centred))
    steady = w.add("Add", variance, w.constant(known.get("epsilon", 1e-5)))
    deviation = w.add("Sqrt", steady)
    unit = w.add("Div", centred, deviation)
    scaled = w.add("Mul", gradient, w.value(node.input[1]))
    along = w.add("Mul", unit, mean(w.add("Mul", scaled, unit)))
    rest = w.add("Sub", w.add("Sub", scaled, mean(scaled)), along)
    return {0: w.add("Div", rest, deviation)}


OPERATORS: Mapping[str, Rule] = {
    "ReduceSum": _reduce_sum,
    "ReduceMean": _reduce_mean,
    "ReduceL2": _reduce_l2,
    "GlobalAveragePool": _global_average_pool,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "LayerNormalization": _layer_normalization,
}
