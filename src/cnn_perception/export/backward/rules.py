"""What a rule of the backward pass is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from cnn_perception.errors import ExplainError
from cnn_perception.export.onnx_graph import GraphWriter, attributes

__all__ = ["Rule", "RuleWriter", "unsupported", "window_pads"]


class RuleWriter:
    """What a rule needs: the graph that is written, and the facts of the one that is derived."""

    def __init__(self, writer: GraphWriter) -> None:
        self.graph = writer.origin
        self.add = writer.add
        self.add_many = writer.add_many
        self.constant = writer.constant
        self.zeros = writer.zeros
        self.value = writer.named

    def integers(self, values: Sequence[int] | NDArray[Any]) -> str:
        return self.constant(values, np.int64)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.graph.shapes[name]

    def reshaped(self, name: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", name, self.integers(shape))

    def where_positive(self, condition: str, gradient: str) -> str:
        """Let a gradient pass where a tensor is above 0."""
        passes = self.add("Greater", condition, self.constant(0.0))
        return self.add("Where", passes, gradient, self.constant(0.0))

    def summed_to(self, gradient: str, name: str, shape: tuple[int, ...]) -> str:
        """Undo the broadcasting of a tensor to a shape: add up what its elements were copied to."""
        own = self.shape(name)
        if own == shape:
            return gradient
        lead = len(shape) - len(own)
        spread = [
            axis
            for axis, side in enumerate(shape)
            if axis < lead or (own[axis - lead] == 1 and side != 1)
        ]
        if spread:
            gradient = self.add("ReduceSum", gradient, self.integers(spread), keepdims=1)
        return self.reshaped(gradient, own)

    def separable(self, gradient: str, rows: NDArray[Any], columns: NDArray[Any]) -> str:
        """Return rows^T G columns for every map of G, the adjoint of rows X columns^T."""
        across = self.add("MatMul", gradient, self.constant(columns))
        return self.add("MatMul", self.constant(rows.T), across)


Rule = Callable[[RuleWriter, NodeProto, str], Mapping[int, str]]
"""Of a node and the gradient of its first output: those of its inputs, by position."""


def unsupported(w: RuleWriter, node: NodeProto, what: str) -> ExplainError:
    return ExplainError(
        f"{w.graph.file}: {node.op_type} {node.name or node.output[0]!r} with {what} has no "
        "backward pass here: name a feature map after it"
    )


def window_pads(w: RuleWriter, node: NodeProto, kernel: Sequence[int]) -> list[int]:
    """Return (top, left, bottom, right) of a window operator over maps."""
    known = attributes(node)
    if len(kernel) != 2:
        raise unsupported(w, node, f"a kernel of {len(kernel)} axes")
    kind = known.get("auto_pad", "NOTSET")
    if kind == "NOTSET":
        return list(known.get("pads", (0, 0, 0, 0)))
    if kind == "VALID":
        return [0, 0, 0, 0]
    strides, dilations = known.get("strides", (1, 1)), known.get("dilations", (1, 1))
    sides, made = w.shape(node.input[0])[2:], w.shape(node.output[0])[2:]
    missing = [
        max(0, (out - 1) * stride + dilation * (size - 1) + 1 - side)
        for out, stride, dilation, size, side in zip(
            made, strides, dilations, kernel, sides, strict=True
        )
    ]
    low = [(total + (kind == "SAME_LOWER")) // 2 for total in missing]
    return [*low, *(total - first for total, first in zip(missing, low, strict=True))]
