"""Gradients of what is done element by element, to one tensor or two."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from onnx import NodeProto

from cnn_perception.export.backward.rules import Rule, RuleWriter, unsupported
from cnn_perception.export.onnx_graph import attributes

__all__ = ["OPERATORS"]


def _same(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: gradient}


def _relu(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: w.where_positive(w.value(node.output[0]), gradient)}


def _clip(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    x = w.value(node.input[0])
    passes = [
        w.add(kind, x, w.value(limit))
        for kind, limit in zip(("Greater", "Less"), node.input[1:], strict=False)
        if limit
    ]
    if not passes:
        return {0: gradient}
    inside = passes[0] if len(passes) == 1 else w.add("And", *passes)
    return {0: w.add("Where", inside, gradient, w.constant(0.0))}


def _leaky_relu(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    slope = w.constant(attributes(node).get("alpha", 0.01))
    positive = w.add("Greater", w.value(node.input[0]), w.constant(0.0))
    return {0: w.add("Where", positive, gradient, w.add("Mul", gradient, slope))}


def _prelu(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    positive = w.add("Greater", w.value(node.input[0]), w.constant(0.0))
    return {0: w.add("Where", positive, gradient, w.add("Mul", gradient, w.value(node.input[1])))}


def _elu(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    alpha = w.constant(attributes(node).get("alpha", 1.0))
    positive = w.add("Greater", w.value(node.input[0]), w.constant(0.0))
    slope = w.add("Add", w.value(node.output[0]), alpha)  # alpha exp(x)
    return {0: w.add("Where", positive, gradient, w.add("Mul", gradient, slope))}


def _sigmoid(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    y = w.value(node.output[0])
    slope = w.add("Mul", y, w.add("Sub", w.constant(1.0), y))
    return {0: w.add("Mul", gradient, slope)}


def _hard_sigmoid(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    y = w.value(node.output[0])
    inside = w.add("And", w.add("Greater", y, w.constant(0.0)), w.add("Less", y, w.constant(1.0)))
    slope = w.constant(attributes(node).get("alpha", 0.2))
    return {0: w.add("Where", inside, w.add("Mul", gradient, slope), w.constant(0.0))}


def _hard_swish(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    x = w.value(node.input[0])
    slope = w.add("Add", w.add("Div", x, w.constant(3.0)), w.constant(0.5))
    below = w.add("Less", x, w.constant(3.0))
    up_to_top = w.add("Where", below, w.add("Mul", gradient, slope), gradient)
    above = w.add("Greater", x, w.constant(-3.0))
    return {0: w.add("Where", above, up_to_top, w.constant(0.0))}


def _tanh(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    y = w.value(node.output[0])
    slope = w.add("Sub", w.constant(1.0), w.add("Mul", y, y))
    return {0: w.add("Mul", gradient, slope)}


def _bell(w: RuleWriter, x: str, width: float, height: float) -> str:
    """Return height * exp(-x^2 / width)."""
    squared = w.add("Mul", x, x)
    exponent = w.add("Div", squared, w.constant(-width))
    return w.add("Mul", w.add("Exp", exponent), w.constant(height))


def _erf(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    slope = _bell(w, w.value(node.input[0]), 1.0, 2 / math.sqrt(math.pi))
    return {0: w.add("Mul", gradient, slope)}


def _gelu(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    if attributes(node).get("approximate", "none") != "none":
        raise unsupported(w, node, "approximate = tanh")
    x = w.value(node.input[0])
    erf = w.add("Erf", w.add("Div", x, w.constant(math.sqrt(2))))
    below = w.add("Mul", w.add("Add", erf, w.constant(1.0)), w.constant(0.5))
    density = _bell(w, x, 2.0, 1 / math.sqrt(2 * math.pi))
    slope = w.add("Add", below, w.add("Mul", x, density))
    return {0: w.add("Mul", gradient, slope)}


def _exp(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: w.add("Mul", gradient, w.value(node.output[0]))}


def _log(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: w.add("Div", gradient, w.value(node.input[0]))}


def _sqrt(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    half = w.add("Mul", gradient, w.constant(0.5))
    return {0: w.add("Div", half, w.value(node.output[0]))}


def _neg(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: w.add("Neg", gradient)}


def _pow(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    power = w.graph.constant(node.input[1])
    if power is None or power.size != 1:
        raise unsupported(w, node, "an exponent that is no single constant")
    exponent = float(power.reshape(-1)[0])
    lower = w.add("Pow", w.value(node.input[0]), w.constant(exponent - 1))
    return {0: w.add("Mul", gradient, w.add("Mul", lower, w.constant(exponent)))}


def _both(
    w: RuleWriter, node: NodeProto, gradients: Mapping[int, Callable[[], str]]
) -> Mapping[int, str]:
    """Return those of some gradients that are asked for, each without its broadcasting."""
    shape = w.shape(node.output[0])
    return {
        index: w.summed_to(make(), node.input[index], shape)
        for index, make in gradients.items()
        if node.input[index] in w.graph.varying
    }


def _add(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return _both(w, node, {index: lambda: gradient for index in range(len(node.input))})


def _sub(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    return _both(w, node, {0: lambda: gradient, 1: lambda: w.add("Neg", gradient)})


def _mul(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    a, b = (w.value(name) for name in node.input)
    return _both(
        w, node, {0: lambda: w.add("Mul", gradient, b), 1: lambda: w.add("Mul", gradient, a)}
    )


def _div(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    b, quotient = w.value(node.input[1]), w.value(node.output[0])

    def of_divisor() -> str:
        return w.add("Neg", w.add("Div", w.add("Mul", gradient, quotient), b))

    return _both(w, node, {0: lambda: w.add("Div", gradient, b), 1: of_divisor})


def _where(w: RuleWriter, node: NodeProto, gradient: str) -> Mapping[int, str]:
    condition, zero = w.value(node.input[0]), w.constant(0.0)
    return _both(
        w,
        node,
        {
            1: lambda: w.add("Where", condition, gradient, zero),
            2: lambda: w.add("Where", condition, zero, gradient),
        },
    )


OPERATORS: Mapping[str, Rule] = {
    **dict.fromkeys(("Identity", "Dropout", "Cast"), _same),
    **dict.fromkeys(("Add", "Sum"), _add),
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Elu": _elu,
    "Sigmoid": _sigmoid,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Tanh": _tanh,
    "Erf": _erf,
    "Gelu": _gelu,
    "Exp": _exp,
    "Log": _log,
    "Sqrt": _sqrt,
    "Neg": _neg,
    "Pow": _pow,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Where": _where,
}
