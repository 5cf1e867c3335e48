"""ONNX's operators in PyTorch: what each does with tensors, differentiable where that has a sense.

Meanings and defaults are those of the ONNX operator specification,
https://onnx.ai/onnx/operators, from opset 7 on, where an argument that was an attribute first and
an input later is taken from either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import torch
from onnx import helper
from torch import Tensor
from torch.nn import functional

from cnn_perception.errors import ModelError
from cnn_perception.offboard.networks.onnx_node import Node
from cnn_perception.offboard.networks.onnx_windows import (
    average_pool,
    convolution,
    max_pool,
    pad,
    resize,
    transposed_convolution,
)

__all__ = ["OPERATORS", "Operator"]

Operator = Callable[..., Any]
"""(node, *inputs) -> a tensor, or a tuple of the node's outputs; None stands for no input."""


def _plain(function: Callable[..., Tensor]) -> Operator:
    """Return the operator of a function that needs no attribute."""
    return lambda _, *inputs: function(*inputs)


def _axes(node: Node, axes: Tensor | None, name: str = "axes") -> list[int]:
    """Return integers given as an input or, in older opsets, as an attribute; empty for neither."""
    return list(node.get(name, ())) if axes is None else axes.reshape(-1).tolist()


def _reduction(function: Callable[..., Tensor]) -> Operator:
    """Return the operator of a function of (tensor, axes, whether axes are kept)."""

    def operator(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        over = _axes(node, axes)
        if not over and node.get("noop_with_empty_axes", 0):
            return x
        return function(x, over or list(range(x.dim())), bool(node.get("keepdims", 1)))

    return operator


def _best(function: Callable[..., Tensor]) -> Operator:
    """Return the operator of argmax or argmin."""

    def operator(node: Node, x: Tensor) -> Tensor:
        axis, kept = node.get("axis", 0), bool(node.get("keepdims", 1))
        if not node.get("select_last_index", 0):
            return function(x, axis, kept)
        return x.shape[axis] - 1 - function(x.flip(axis), axis, kept)

    return operator


def _over_classes(function: Callable[..., Tensor]) -> Operator:
    """Return the operator of softmax or its logarithm."""

    def operator(node: Node, x: Tensor) -> Tensor:
        if node.opset >= 13:
            return function(x, node.get("axis", -1))
        rows = x.reshape(math.prod(x.shape[: node.get("axis", 1)]), -1)  # all axes after are one
        return function(rows, 1).reshape(x.shape)

    return operator


def _divide(_: Node, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _modulo(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.fmod(x, y) if node.get("fmod", 0) else torch.remainder(x, y)


def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least, most = node.get("min"), node.get("max")
    x = x if low is None and least is None else torch.clamp(x, min=least if low is None else low)
    return (
        x if high is None and most is None else torch.clamp(x, max=most if high is None else high)
    )


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.T if node.get("transA", 0) else a
    b = b.T if node.get("transB", 0) else b
    product = node.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + node.get("beta", 1.0) * c


def _batch_normalisation(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    epsilon = node.get("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon)


def _layer_normalisation(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    shape = x.shape[node.get("axis", -1) :]
    shift = None if bias is None else bias.expand(shape)
    return functional.layer_norm(x, shape, scale.expand(shape), shift, node.get("epsilon", 1e-5))


def _group_normalisation(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = node.get("num_groups")
    if node.opset < 21:  # there are as many of them as groups
        scale, bias = (v.repeat_interleave(x.shape[1] // groups) for v in (scale, bias))
    return functional.group_norm(x, groups, scale, bias, node.get("epsilon", 1e-5))


def _shape(node: Node, x: Tensor) -> Tensor:
    sizes = list(x.shape)[node.get("start", 0) : node.get("end")]
    return torch.tensor(sizes, dtype=torch.int64, device=x.device)


def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    kept = not node.get("allowzero", 0)
    return x.reshape(
        [x.shape[k] if kept and size == 0 else size for k, size in enumerate(shape.tolist())]
    )


def _flatten(node: Node, x: Tensor) -> Tensor:
    return x.reshape(math.prod(x.shape[: node.get("axis", 1)]), -1)


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm", tuple(reversed(range(x.dim())))))


def _squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    over = _axes(node, axes)
    return x.squeeze(over) if over else x.squeeze()


def _unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    new = _axes(node, axes)
    for axis in sorted(axis % (x.dim() + len(new)) for axis in new):
        x = x.unsqueeze(axis)
    return x


def _split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, parts = node.get("axis", 0), len(node.outputs)
    lengths: Any = _axes(node, sizes, "split") or -(-x.shape[axis] // parts)
    return x.split(lengths, axis)


def _slice(node: Node, x: Tensor, *given: Tensor | None) -> Tensor:
    starts, ends, axes, steps = (
        _axes(node, given[k] if k < len(given) else None, name)
        for k, name in enumerate(("starts", "ends", "axes", "steps"))
    )
    axes = axes or list(range(len(starts)))
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(axes), strict=True):
        taken = range(*slice(start, end, step).indices(x.shape[axis]))
        if step == 1:
            x = x.narrow(axis, taken.start, len(taken))
        else:
            x = x.index_select(axis, torch.tensor(taken, dtype=torch.int64, device=x.device))
    return x


def _from_the_end(index: Tensor, size: int) -> Tensor:
    return torch.where(index < 0, index + size, index).long()


def _gather(node: Node, x: Tensor, index: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.dim()
    taken = x.index_select(axis, _from_the_end(index, x.shape[axis]).reshape(-1))
    return taken.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _gather_elements(node: Node, x: Tensor, index: Tensor) -> Tensor:
    axis = node.get("axis", 0)
    return x.gather(axis, _from_the_end(index, x.shape[axis]))


def _scatter_elements(node: Node, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    axis, reduction = node.get("axis", 0), node.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise ModelError(f"ScatterElements has reduction = {reduction!r}, unknown here")
    scatter = x.scatter if reduction == "none" else x.scatter_add
    return scatter(axis, _from_the_end(index, x.shape[axis]), updates)


def _expand(_: Node, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    value = node.get("value", torch.zeros(1))
    return torch.full(shape.tolist(), value.item(), dtype=value.dtype, device=shape.device)


def _cast(node: Node, x: Tensor) -> Tensor:
    return x.to(
        torch.from_numpy(np.empty(0, helper.tensor_dtype_to_np_dtype(node.get("to")))).dtype
    )


def _range(_: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    first, end, step = (value.item() for value in (start, limit, delta))
    return torch.arange(first, end, step, dtype=start.dtype, device=start.device)


def _cumulative_sum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    along = int(axis.item())
    x = x.flip(along) if node.get("reverse", 0) else x
    sums = x.cumsum(along)
    sums = sums - x if node.get("exclusive", 0) else sums
    return sums.flip(along) if node.get("reverse", 0) else sums


def _top(node: Node, x: Tensor, count: Tensor | None = None) -> tuple[Tensor, Tensor]:
    k = node.get("k") if count is None else int(count.item())
    largest, ordered = bool(node.get("largest", 1)), bool(node.get("sorted", 1))
    values, places = x.topk(k, node.get("axis", -1), largest, ordered)
    return values, places


def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    side = node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        batch, channels, rows, columns = x.shape
        blocks = x.reshape(batch, side * side, channels // (side * side), rows, columns)
        x = blocks.transpose(1, 2).reshape(x.shape)
    return functional.pixel_shuffle(x, side)


OPERATORS: Mapping[str, Operator] = {
    # One tensor, element by element.
    "Abs": _plain(torch.abs),
    "Cast": _cast,
    "Ceil": _plain(torch.ceil),
    "Celu": lambda node, x: functional.celu(x, node.get("alpha", 1.0)),
    "Clip": _clip,
    "Cos": _plain(torch.cos),
    "Dropout": lambda _, x, *rest: x,
    "Elu": lambda node, x: functional.elu(x, node.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Floor": _plain(torch.floor),
    "Gelu": lambda node, x: functional.gelu(x, approximate=node.get("approximate", "none")),
    "HardSigmoid": lambda node, x: torch.clamp(
        node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0.0, 1.0
    ),
    "HardSwish": _plain(functional.hardswish),
    "Identity": _plain(lambda x: x),
    "IsNaN": _plain(torch.isnan),
    "LeakyRelu": lambda node, x: functional.leaky_relu(x, node.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "Mish": _plain(functional.mish),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "Reciprocal": _plain(torch.reciprocal),
    "Relu": _plain(functional.relu),
    "Round": _plain(torch.round),
    "Selu": lambda node, x: (
        node.get("gamma", 1.0507010221481323)
        * functional.elu(x, node.get("alpha", 1.6732631921768188))
    ),
    "Sigmoid": _plain(torch.sigmoid),
    "Sign": _plain(torch.sign),
    "Sin": _plain(torch.sin),
    "Softplus": _plain(lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "Softsign": _plain(functional.softsign),
    "Sqrt": _plain(torch.sqrt),
    "Tanh": _plain(torch.tanh),
    # Several tensors, element by element.
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "Div": _divide,
    "Equal": _plain(torch.eq),
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "Max": _plain(lambda *inputs: reduce(torch.maximum, inputs)),
    "Mean": _plain(lambda *inputs: reduce(torch.add, inputs) / len(inputs)),
    "Min": _plain(lambda *inputs: reduce(torch.minimum, inputs)),
    "Mod": _modulo,
    "Mul": _plain(torch.mul),
    "Or": _plain(torch.logical_or),
    "PRelu": _plain(lambda x, slope: torch.where(x < 0, slope * x, x)),
    "Pow": _plain(lambda x, y: torch.pow(x, y).to(x.dtype)),
    "Sub": _plain(torch.sub),
    "Sum": _plain(lambda *inputs: reduce(torch.add, inputs)),
    "Where": _plain(torch.where),
    "Xor": _plain(torch.logical_xor),
    # Along axes.
    "ArgMax": _best(torch.argmax),
    "ArgMin": _best(torch.argmin),
    "CumSum": _cumulative_sum,
    "LogSoftmax": _over_classes(torch.log_softmax),
    "LpNormalization": lambda node, x: (
        x / torch.linalg.vector_norm(x, node.get("p", 2), node.get("axis", -1), keepdim=True)
    ),
    "ReduceL1": _reduction(lambda x, axes, kept: x.abs().sum(axes, kept)),
    "ReduceL2": _reduction(lambda x, axes, kept: torch.linalg.vector_norm(x, 2, axes, kept)),
    "ReduceLogSumExp": _reduction(torch.logsumexp),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceMin": _reduction(torch.amin),
    "ReduceSum": _reduction(torch.sum),
    "ReduceSumSquare": _reduction(lambda x, axes, kept: x.square().sum(axes, kept)),
    "Softmax": _over_classes(torch.softmax),
    "TopK": _top,
    # Products and sums over windows.
    "AveragePool": average_pool,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Einsum": lambda node, *inputs: torch.einsum(node.get("equation"), *inputs),
    "Gemm": _gemm,
    "GlobalAveragePool": _plain(lambda x: x.mean(tuple(range(2, x.dim())), True)),
    "GlobalMaxPool": _plain(lambda x: x.amax(tuple(range(2, x.dim())), True)),
    "LRN": lambda node, x: functional.local_response_norm(
        x, node.get("size"), node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    ),
    "MatMul": _plain(torch.matmul),
    "MaxPool": max_pool,
    "Resize": resize,
    "Upsample": resize,
    # Normalisation.
    "BatchNormalization": _batch_normalisation,
    "GroupNormalization": _group_normalisation,
    "InstanceNormalization": lambda node, x, scale, bias: functional.instance_norm(
        x, weight=scale, bias=bias, eps=node.get("epsilon", 1e-5)
    ),
    "LayerNormalization": _layer_normalisation,
    # Shapes and places.
    "Concat": lambda node, *inputs: torch.cat(inputs, node.get("axis")),
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": pad,
    "Range": _range,
    "Reshape": _reshape,
    "ScatterElements": _scatter_elements,
    "Shape": _shape,
    "Size": _plain(lambda x: torch.tensor(x.numel(), device=x.device)),
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _plain(lambda x, repeats: x.repeat(repeats.tolist())),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The operators by their names."""
