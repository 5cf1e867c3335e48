"""Computations in PyTorch, their gradients among them, as ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnx import ModelProto
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxscript.optimizer import optimize_ir
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from cnn_perception.offboard.export.onnx_file import OPSET

__all__ = ["IR_VERSION", "traced"]

IR_VERSION = 9
"""What ONNX Runtime reads since 1.17."""

_ANY = 1 << 40
_ATEN: Any = torch.ops.aten


def traced(
    function: Callable[..., Sequence[Tensor]],
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
) -> ModelProto:
    """Return what a function computes for inputs of exactly these shapes, by the inputs' names.

    Gradients that it takes with ``torch.autograd.grad`` become nodes like all else. What depends on
    no input is computed once, here, and an input that nothing depends on is left out. Raises
    whatever PyTorch's exporter does for an operator that it does not know.
    """
    adjoints = {**torch.export.default_decompositions(), **_ADJOINTS}
    module = make_fx(function, decomposition_table=adjoints)(*examples.values()).eval()
    program = torch.onnx.export(
        module,
        tuple(examples.values()),
        input_names=list(examples),
        output_names=list(outputs),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
        optimize=False,
    )
    model = program.model
    optimize_ir(
        model,
        input_size_limit=_ANY,
        output_size_limit=_ANY,
        should_fold=_should_fold,
    )
    ClearMetadataAndDocStringPass()(model)
    for value in [value for value in model.graph.inputs if not value.uses()]:
        model.graph.inputs.remove(value)
    model.ir_version = IR_VERSION
    return program.model_proto


def _should_fold(node: Any) -> bool | None:
    """Say that zeros need not be stored, nor a matrix both ways round; None leaves the choice."""
    repeats = node.op_type == "Expand"
    turns = node.op_type == "Transpose" and len(node.inputs[0].shape or ()) == 2
    return False if repeats or turns else None


def _convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor, None, None]:
    assert not any(wanted[1:]), "weights that vary have no gradient here"
    kernel = weight.shape[2:]
    reach = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
    extra = [0] * len(kernel)
    if transposed:
        # The adjoint may see one more window in what was added to the output.
        shown = tuple(slice(side) for side in x.shape)
        back = _ATEN.convolution(
            gradient, weight, None, stride, padding, dilation, False, extra, groups
        )
        return back[shown], None, None
    if set(stride) == {1} and all(pad <= far for pad, far in zip(padding, reach, strict=True)):
        # The adjoint of a convolution of stride 1 is one too, with the kernel turned around; ONNX
        # Runtime is much faster at it than at a transposed one.
        grouped = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        weight, transposed = grouped.flip(list(range(2, weight.dim()))), False
        padding = [far - pad for far, pad in zip(reach, padding, strict=True)]
    else:
        transposed = True
        extra = [
            side - ((out - 1) * step + far + 1 - 2 * pad)
            for side, out, step, far, pad in zip(
                x.shape[2:], gradient.shape[2:], stride, reach, padding, strict=True
            )
        ]
    back = _ATEN.convolution(
        gradient, weight, None, stride, padding, dilation, transposed, extra, groups
    )
    return back, None, None


def _max_pool_backward(
    gradient: Tensor,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    places: Tensor,
) -> Tensor:
    # Windows overlap, so that shares add up.
    back = torch.zeros_like(x).flatten(-2)
    return back.scatter_add(-1, places.flatten(-2), gradient.flatten(-2)).view(x.shape)


def _average_pool_backward(
    gradient: Tensor,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    padding_counts: bool,
    divisor: int | None,
) -> Tensor:
    rows, columns = (
        functional.avg_pool1d(
            torch.eye(x.shape[2 + k])[None],
            kernel[k],
            stride[k],
            padding[k],
            ceil_mode,
            padding_counts,
        )[0]
        for k in (0, 1)
    )
    return rows @ gradient @ columns.T


def _index_add(x: Tensor, axis: int, index: Tensor, source: Tensor, alpha: float = 1) -> Tensor:
    shape = [-1 if k == axis % x.dim() else 1 for k in range(x.dim())]
    return x.scatter_add(axis, index.view(shape).expand(source.shape), alpha * source)


_ADJOINTS = {
    _ATEN.convolution_backward.default: _convolution_backward,
    _ATEN.max_pool2d_with_indices_backward.default: _max_pool_backward,
    _ATEN.avg_pool2d_backward.default: _average_pool_backward,
    _ATEN.index_add.default: _index_add,
}
"""Adjoints that the exporter has no node for, by those that ONNX Runtime is fast at."""
