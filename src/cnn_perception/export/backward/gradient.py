"""The backward pass of a graph from one tensor to another.

Operators and their defaults are those of the ONNX operator specification, opset 18 and newer. What
is exactly at the edge of a ReLU or a clipped range has gradient 0, as in PyTorch's relu and relu6.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import NodeProto

from cnn_perception.errors import ExplainError
from cnn_perception.export.backward import (
    elementwise,
    products,
    rearrangements,
    reductions,
    windows,
)
from cnn_perception.export.backward.rules import Rule, RuleWriter
from cnn_perception.export.onnx_graph import GraphWriter, OnnxGraph

__all__ = ["OPERATORS", "add_backward"]

OPERATORS: Mapping[str, Rule] = {
    **elementwise.OPERATORS,
    **products.OPERATORS,
    **windows.OPERATORS,
    **reductions.OPERATORS,
    **rearrangements.OPERATORS,
}
"""The rules by operator."""


def add_backward(writer: GraphWriter, source: str, target: str, seed: str) -> str:
    """Copy what leads from `source` to `target`, add its backward pass, and return its result.

    That is the gradient of sum(seed * target) with respect to the source, in its shape. source and
    target are tensors of the writer's origin, seed one of the new graph in the target's shape.
    Raises ExplainError where nothing leads there, or over an operator that has no rule.
    """
    graph = writer.origin
    nodes = graph.between(source, target)
    if not nodes:
        raise ExplainError(f"{graph.file}: {target!r} does not depend on {source!r}: name another")
    for node in nodes:
        writer.copy(node)
    rules = RuleWriter(writer)
    on_the_way = {source, *(name for node in nodes for name in node.output)}
    gradients: dict[str, list[str]] = {target: [seed]}
    for node in reversed(nodes):
        parts = gradients.pop(node.output[0], [])
        if not parts:
            continue  # shapes, indices: nothing to differentiate
        gradient = parts[0] if len(parts) == 1 else writer.add("Sum", *parts)
        for index, found in _rule(graph, node)(rules, node, gradient).items():
            if node.input[index] in on_the_way:
                gradients.setdefault(node.input[index], []).append(found)
    parts = gradients[source]
    return parts[0] if len(parts) == 1 else writer.add("Sum", *parts)


def _rule(graph: OnnxGraph, node: NodeProto) -> Rule:
    rule = OPERATORS.get(node.op_type)
    if rule is None:
        raise ExplainError(
            f"{graph.file}: node {node.name or node.output[0]!r} is a {node.op_type}, through "
            "which no gradient is known: name a feature map after it"
        )
    return rule
