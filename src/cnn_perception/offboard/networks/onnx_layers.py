"""Nodes of an ONNX graph as layers: PyTorch's own where a node is one, which others look for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from cnn_perception.errors import ModelError
from cnn_perception.offboard.networks.onnx_node import Node
from cnn_perception.offboard.networks.onnx_operators import OPERATORS
from cnn_perception.offboard.networks.onnx_windows import average_pool, convolution

__all__ = ["check_operator", "layer_of"]


def check_operator(node: Node) -> None:
    """Raise ModelError for a node whose operator is not known here."""
    if node.kind not in OPERATORS:
        raise ModelError(
            f"node {node.outputs[0]} is a {node.kind}, which is not known here: export the network "
            "without it, or look into its PyTorch original"
        )


def layer_of(node: Node, constants: Mapping[str, Tensor]) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a node's layer, and the names of the tensors that it is to be called with.

    constants: tensors that are the same for every input; weights of the layer are taken from them.
    Raises ModelError for an operator that is not known.
    """
    check_operator(node)
    stored: list[Any] = [constants.get(name) for name in node.inputs]
    if node.kind == "Conv" and _are_weights(stored[1:]) and stored[1].dim() == 4:
        return _Convolution(node, *stored[1:]), node.inputs[:1]
    if node.kind in ("Gemm", "MatMul") and _is_linear(node, stored):
        return _linear(node, *stored[1:]), node.inputs[:1]
    if node.kind == "Relu":
        return nn.ReLU(), node.inputs
    if node.kind == "Clip":
        ceiling = _ceiling(node, stored)
        if ceiling is not None:
            return (nn.ReLU6() if ceiling == 6 else nn.ReLU()), node.inputs[:1]
    if node.kind == "AveragePool" and len(node.get("kernel_shape")) == 2:
        return _AveragePool(node), node.inputs
    return _Layer(node), node.inputs


class _Layer(nn.Module):
    """An operator that is no layer of PyTorch's."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def forward(self, *inputs: Tensor | None) -> Any:
        return OPERATORS[self.node.kind](self.node, *inputs)

    def extra_repr(self) -> str:
        return self.node.kind


class _Convolution(nn.Conv2d):
    """A convolution with stored weights, and ONNX's ways to pad."""

    def __init__(self, node: Node, weight: Tensor, bias: Tensor | None = None) -> None:
        group = node.get("group", 1)
        super().__init__(
            weight.shape[1] * group,
            weight.shape[0],
            tuple(weight.shape[2:]),
            tuple(node.get("strides", (1, 1))),
            dilation=tuple(node.get("dilations", (1, 1))),
            groups=group,
            bias=bias is not None,
            device="meta",  # neither memory nor random numbers for weights that are replaced
        )
        self.node = node
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return convolution(self.node, x, self.weight, self.bias)


class _AveragePool(nn.AvgPool2d):
    """Averages over windows, with ONNX's ways to pad."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.get("kernel_shape"), node.get("strides", [1, 1]))
        self.node = node

    def forward(self, x: Tensor) -> Tensor:
        return average_pool(self.node, x)


def _are_weights(tensors: list[Any]) -> bool:
    return bool(tensors) and all(x is not None and x.is_floating_point() for x in tensors)


def _is_linear(node: Node, stored: list[Any]) -> bool:
    """Say whether a product is x W^T + b with stored W (outputs, inputs) and b (outputs,)."""
    if stored[0] is not None or not _are_weights(stored[1:]) or stored[1].dim() != 2:
        return False
    plain = node.get("alpha", 1.0) == node.get("beta", 1.0) == 1.0 and not node.get("transA", 0)
    outputs = stored[1].shape[0 if node.get("transB", 0) else 1]
    return plain and (len(stored) == 2 or stored[2].shape == (outputs,))


def _linear(node: Node, matrix: Tensor, bias: Tensor | None = None) -> nn.Linear:
    weight = matrix if node.get("transB", 0) else matrix.T
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    layer.bias = None if bias is None else nn.Parameter(bias)
    return layer


def _ceiling(node: Node, stored: list[Any]) -> float | None:
    """Return the most that a Clip lets pass where it is ReLU or ReLU6, else None."""
    given = [node.get("min"), node.get("max")]
    for k, name in enumerate(node.inputs[1:]):
        if name and stored[k + 1] is None:
            return None
        given[k] = stored[k + 1].item() if name else None
    least, most = given
    most = float("inf") if most is None else most
    return most if least == 0 and most in (6.0, float("inf")) else None
