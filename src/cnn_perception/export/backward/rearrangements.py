"""Gradients of what moves, copies or selects elements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from cnn_perception.export.backward.rules import Rule, RuleWriter, unsupported
from cnn_perception.export.onnx_graph import attributes

__all__ = ["OPERATORS"]


def _reshape(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: w.reshaped(gradient, w.shape(node.input[0]))}


def _transpose(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    rank = len(w.shape(node.input[0]))
    order = attributes(node).get("perm", list(range(rank))[::-1])
    return {0: w.add("Transpose", gradient, perm=[int(axis) for axis in np.argsort(order)])}


def _expand(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: w.summed_to(gradient, node.input[0], w.shape(node.output[0]))}


def _concat(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    axis = attributes(node)["axis"]
    ends = np.cumsum([w.shape(name)[axis] for name in node.input]).tolist()
    return {
        index: w.add("Slice", gradient, w.integers([start]), w.integers([end]), w.integers([axis]))
        for index, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
        if node.input[index] in w.graph.varying
    }


def _slice(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    values = [w.graph.constant(name) if name else None for name in node.input[1:]]
    starts, ends, axes, steps = [*values, None, None][:4]
    if starts is None or ends is None or (steps is not None and (steps != 1).any()):
        raise unsupported(w, node, "bounds that vary or steps")
    shape = w.shape(node.input[0])
    chosen = range(len(starts)) if axes is None else axes.tolist()
    before, after = [0] * len(shape), [0] * len(shape)
    for axis, start, end in zip(chosen, starts.tolist(), ends.tolist(), strict=True):
        first, last, _ = slice(start, end).indices(shape[axis])
        before[axis], after[axis] = first, shape[axis] - max(first, last)
    return {0: w.add("Pad", gradient, w.integers([*before, *after]))}


def _gather(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    places = w.graph.constant(node.input[1])
    if places is None:
        raise unsupported(w, node, "indices that vary")
    shape = w.shape(node.input[0])
    axis = attributes(node).get("axis", 0) % len(shape)
    taken = (*shape[:axis], places.size, *shape[axis + 1 :])
    along = (places.reshape(-1) % shape[axis]).reshape([-1] + [1] * (len(shape) - axis - 1))
    back = w.add(
        "ScatterElements",
        w.zeros(shape),
        w.integers(np.broadcast_to(along, taken)),
        w.reshaped(gradient, taken),
        axis=axis,
        reduction="add",
    )
    return {0: back}


def _pad(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    pads = w.graph.constant(node.input[1])
    shape = w.shape(node.input[0])
    plain = attributes(node).get("mode", "constant") == "constant" and len(node.input) < 4
    if pads is None or not plain or (pads < 0).any():
        raise unsupported(w, node, "another mode, axes, or a cut")
    starts = pads.reshape(-1)[: len(shape)].tolist()
    ends = [start + side for start, side in zip(starts, shape, strict=True)]
    axes = w.integers(range(len(shape)))
    return {0: w.add("Slice", gradient, w.integers(starts), w.integers(ends), axes)}


OPERATORS: Mapping[str, Rule] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Transpose": _transpose,
    "Expand": _expand,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
}
