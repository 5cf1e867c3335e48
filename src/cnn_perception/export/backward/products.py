"""Gradients of matrix products, convolutions and scales."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from cnn_perception.export.backward.rules import Rule, RuleWriter, unsupported, window_pads
from cnn_perception.export.onnx_graph import attributes

__all__ = ["OPERATORS"]


def _turned(w: RuleWriter, name: str) -> str:
    """Return matrices with their last two axes exchanged; constants at once."""
    value = w.graph.constant(name)
    if value is not None:
        return w.constant(np.swapaxes(value, -1, -2))
    axes = list(range(len(w.shape(name))))
    axes[-2:] = axes[:-3:-1]
    return w.add("Transpose", w.value(name), perm=axes)


def _matmul(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    a, b = node.input
    if min(len(w.shape(a)), len(w.shape(b))) < 2:
        raise unsupported(w, node, "a vector")
    batch = w.shape(node.output[0])[:-2]
    found = {}
    if a in w.graph.varying:
        product = w.add("MatMul", gradient, _turned(w, b))
        found[0] = w.summed_to(product, a, (*batch, *w.shape(a)[-2:]))
    if b in w.graph.varying:
        product = w.add("MatMul", _turned(w, a), gradient)
        found[1] = w.summed_to(product, b, (*batch, *w.shape(b)[-2:]))
    return found


def _gemm(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    known = attributes(node)
    if known.get("transA", 0):
        raise unsupported(w, node, "transA")
    if any(name in w.graph.varying for name in node.input[1:]):
        raise unsupported(w, node, "weights that vary")
    alpha = float(known.get("alpha", 1.0))
    turned = 1 - known.get("transB", 0)
    return {0: w.add("Gemm", gradient, w.value(node.input[1]), transB=turned, alpha=alpha)}


def _conv(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    weight = w.graph.constant(node.input[1])
    if weight is None:
        raise unsupported(w, node, "weights that vary")
    known = attributes(node)
    kernel = weight.shape[2:]
    pads = window_pads(w, node, kernel)
    group = known.get("group", 1)
    strides, dilations = list(known.get("strides", (1, 1))), list(known.get("dilations", (1, 1)))
    reach = [dilation * (size - 1) for dilation, size in zip(dilations, kernel, strict=True)]
    if strides == [1, 1] and all(pad <= far for pad, far in zip(pads, reach * 2, strict=True)):
        # The adjoint of a convolution of stride 1 is one too, with the kernel turned around; ONNX
        # Runtime is much faster at it than at a transposed one.
        outputs, inputs = weight.shape[:2]
        grouped = weight.reshape(group, outputs // group, inputs, *kernel)
        turned = grouped.transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
        turned = turned.reshape(group * inputs, outputs // group, *kernel)
        inverse = [far - pad for far, pad in zip(reach * 2, pads, strict=True)]
        return {
            0: w.add(
                "Conv",
                gradient,
                w.constant(turned),
                group=group,
                dilations=dilations,
                pads=inverse,
            )
        }
    sides, made = w.shape(node.input[0])[2:], w.shape(node.output[0])[2:]
    left_over = [
        side - ((out - 1) * stride + far + 1 - first - last)
        for side, out, stride, far, first, last in zip(
            sides, made, strides, reach, pads[:2], pads[2:], strict=True
        )
    ]
    back = w.add(
        *("ConvTranspose", gradient, w.value(node.input[1])),
        strides=strides,
        dilations=dilations,
        pads=[*pads[:2], *(min(0, x) * -1 + p for x, p in zip(left_over, pads[2:], strict=True))],
        output_padding=[max(0, min(x, s - 1)) for x, s in zip(left_over, strides, strict=True)],
        group=group,
    )
    # What lies beyond the last window got no part in the answer.
    short = [max(0, x - s + 1) for x, s in zip(left_over, strides, strict=True)]
    if any(short):
        back = w.add("Pad", back, w.integers([0, 0, 0, 0, 0, 0, *short]))
    return {0: back}


def _conv_transpose(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    weight = w.graph.constant(node.input[1])
    known = attributes(node)
    if weight is None or known.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in known:
        raise unsupported(w, node, "weights that vary, auto_pad or output_shape")
    kept = {key: known[key] for key in ("strides", "dilations", "pads", "group") if key in known}
    back = w.add("Conv", gradient, w.value(node.input[1]), **kept)
    height, width = w.shape(node.input[0])[2:]
    if "output_padding" in known:  # the adjoint may see one more window in it
        back = w.add(
            "Slice", back, w.integers([0, 0]), w.integers([height, width]), w.integers([2, 3])
        )
    return {0: back}


def _batch_normalization(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    scale, _, _, variance = (w.graph.constant(name) for name in node.input[1:5])
    if scale is None or variance is None or attributes(node).get("training_mode", 0):
        raise unsupported(w, node, "statistics that vary")
    factor = scale / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    spread = (-1, *[1] * (len(w.shape(node.input[0])) - 2))
    return {0: w.add("Mul", gradient, w.constant(factor.reshape(spread)))}


OPERATORS: Mapping[str, Rule] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "BatchNormalization": _batch_normalization,
}
