"""One node of an ONNX graph, as the operators see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

__all__ = ["Node", "read_node", "read_tensor"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its operator and what was set of it.

    kind: the operator, with its domain where that is not ONNX's own. opset: version of the
    operators, which says what a node means. inputs, outputs: names of tensors, empty for optional
    ones that are left out. attributes: those given; defaults are the operators' business.
    """

    kind: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute, or the default that the ONNX specification gives it."""
        return self.attributes.get(attribute, default)


def read_node(node: NodeProto, opset: int) -> Node:
    """Return a node of a graph; tensors in its attributes become PyTorch's, bytes become text."""
    attributes = {item.name: _plain(helper.get_attribute_value(item)) for item in node.attribute}
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    inputs = tuple(node.input)
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    return Node(f"{domain}{node.op_type}", opset, inputs, tuple(node.output), attributes)


def read_tensor(tensor: TensorProto) -> Tensor:
    """Return a copy of a stored tensor."""
    return torch.from_numpy(numpy_helper.to_array(tensor).copy())


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return read_tensor(value) if isinstance(value, TensorProto) else value
