"""ONNX's operators over windows and grids in PyTorch: convolution, pooling, padding, resizing.

Meanings and defaults are those of the ONNX operator specification,
https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cnn_perception.errors import ModelError
from cnn_perception.offboard.networks.onnx_node import Node

__all__ = ["average_pool", "convolution", "max_pool", "pad", "resize", "transposed_convolution"]

Edges = list[tuple[int, int]]
"""Padding before and after, per axis of the window."""

_CONVOLUTIONS: Any = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED: Any = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
_MAX_POOLS: Any = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGE_POOLS: Any = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


def convolution(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Conv of x (B, C, ...) with one to three axes, weight (outputs, C / group, ...)."""
    strides, dilations = _steps(node, weight.dim() - 2)
    x, padding = _padded(x, _edges(node, x, weight.shape[2:]), 0.0)
    convolve = _CONVOLUTIONS[x.dim() - 3]
    return convolve(x, weight, bias, strides, padding, dilations, node.get("group", 1))


def transposed_convolution(
    node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """ConvTranspose of x (B, C, ...) with one to three axes, weight (C, outputs / group, ...)."""
    axes = weight.dim() - 2
    strides, dilations = _steps(node, axes)
    extra = node.get("output_padding", [0] * axes)
    group = node.get("group", 1)
    whole = _TRANSPOSED[axes - 1](x, weight, bias, strides, 0, extra, group, dilations)
    cut = _transposed_edges(node, x, whole, strides)
    return functional.pad(whole, _for_torch([(-before, -after) for before, after in cut]))


def max_pool(node: Node, x: Tensor) -> Tensor:
    """MaxPool of x (B, C, ...) with one to three axes; the places of the largest are not told."""
    if len(node.outputs) > 1:
        raise ModelError(
            f"MaxPool answers with places, {node.outputs[1]}, which are not known here: export the "
            "network without unpooling"
        )
    kernel = node.get("kernel_shape")
    strides, dilations = _steps(node, len(kernel))
    x, padding = _padded(x, _edges(node, x, kernel), -torch.inf, most=[k // 2 for k in kernel])
    ceiling = bool(node.get("ceil_mode", 0))
    return _MAX_POOLS[len(kernel) - 1](x, kernel, strides, padding, dilations, ceiling)


def average_pool(node: Node, x: Tensor) -> Tensor:
    """AveragePool of x (B, C, ...) with one to three axes."""
    kernel = node.get("kernel_shape")
    strides, dilations = _steps(node, len(kernel))
    if any(step != 1 for step in dilations):
        raise ModelError(f"AveragePool has dilations = {dilations}: only 1 is known here")
    counted, ceiling = bool(node.get("count_include_pad", 0)), bool(node.get("ceil_mode", 0))
    edges = _edges(node, x, kernel)
    padded, padding = _padded(x, edges, 0.0, most=[k // 2 for k in kernel])
    pool = _AVERAGE_POOLS[len(kernel) - 1]
    averages: Tensor = pool(padded, kernel, strides, padding, ceiling, counted)
    if padded is x or counted:
        return averages
    # PyTorch was given the padding as a part of the image: how much of each window is real?
    real, _ = _padded(torch.ones_like(x[:1, :1]), edges, 0.0, most=[k // 2 for k in kernel])
    return averages / pool(real, kernel, strides, padding, ceiling, counted)


def pad(
    node: Node,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    """Pad of x of any shape; pads and value are attributes before opset 11."""
    given = node.get("pads") if pads is None else pads.tolist()
    over = list(range(x.dim())) if axes is None else [a % x.dim() for a in axes.tolist()]
    edges = [(0, 0)] * x.dim()
    for axis, before, after in zip(over, given, given[len(over) :], strict=False):
        edges[axis] = (before, after)
    mode = node.get("mode", "constant")
    if mode == "constant":
        fill = node.get("value", 0.0) if value is None else value.item()
        return functional.pad(x, _for_torch(edges), value=fill)
    for axis, edge in enumerate(edges):
        if edge != (0, 0):
            places = np.pad(np.arange(x.shape[axis]), edge, mode)
            x = x.index_select(axis, torch.from_numpy(places).to(x.device))
    return x


def resize(node: Node, x: Tensor, *given: Tensor | None) -> Tensor:
    """Resize, and Upsample, of x of any shape: nearest, linear or cubic, one axis at a time."""
    for name, only in (
        ("antialias", 0),
        ("exclude_outside", 0),
        ("keep_aspect_ratio_policy", "stretch"),
    ):
        if node.get(name, only) != only:
            raise ModelError(f"Resize has {name} = {node.get(name)!r}: only {only!r} is known here")
    axes = [axis % x.dim() for axis in node.get("axes", range(x.dim()))]
    for axis, (size, scale) in zip(axes, _sizes(node, x, axes, given), strict=True):
        if size != x.shape[axis] or scale != 1.0:
            x = _resized(node, x, axis, size, scale)
    return x


def _sizes(
    node: Node, x: Tensor, axes: Sequence[int], given: Sequence[Tensor | None]
) -> list[tuple[int, float]]:
    """Return the new size and the scale of each axis."""
    # Upsample and Resize 10 have (scales), Resize has (roi, scales, sizes).
    roi_first = node.kind == "Resize" and node.opset >= 11
    scales, sizes = (*(given[1:] if roi_first else given), None, None)[:2]
    if sizes is not None and sizes.numel():
        return [
            (size, size / x.shape[axis]) for axis, size in zip(axes, sizes.tolist(), strict=True)
        ]
    factors = node.get("scales") if scales is None else scales.tolist()
    return [(int(x.shape[a] * scale), scale) for a, scale in zip(axes, factors, strict=True)]


def _resized(node: Node, x: Tensor, axis: int, size: int, scale: float) -> Tensor:
    """Return x with another size along one axis."""
    length = x.shape[axis]
    places = _places(node, length, size, scale).to(x.device)
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        nearest = _rounded(node, places).long().clamp(0, length - 1)
        return x.index_select(axis, nearest)
    first = places.floor()
    part = (places - first).to(x.dtype)
    taps = {0: 1 - part, 1: part}
    if mode == "cubic":
        taps = _cubic(part, node.get("cubic_coeff_a", -0.75))
    # A matrix, whose gradient is one too.
    rows = torch.arange(length, device=x.device)[:, None]
    matrix = torch.stack(
        [((first.long() + tap).clamp(0, length - 1) == rows) * w for tap, w in taps.items()]
    ).sum(0)
    return (x.movedim(axis, -1) @ matrix).movedim(-1, axis)


def _places(node: Node, length: int, size: int, scale: float) -> Tensor:
    """Return where in the old axis each place of the new one lies, float32 (size,)."""
    new = torch.arange(size, dtype=torch.float32)
    has_mode = node.kind == "Resize" and node.opset >= 11
    mode = node.get("coordinate_transformation_mode", "half_pixel") if has_mode else "asymmetric"
    if mode == "asymmetric":
        return new / scale
    if mode == "align_corners":
        return new * ((length - 1) / max(size - 1, 1))
    if mode == "tf_half_pixel_for_nn":
        return (new + 0.5) / scale
    if mode == "pytorch_half_pixel" and size == 1:
        return torch.zeros(1)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (new + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        middle = length / 2 * (1 - size / (length * scale))
        return middle + (new + 0.5) / scale - 0.5
    raise ModelError(f"Resize has coordinate_transformation_mode = {mode!r}, unknown here")


def _rounded(node: Node, places: Tensor) -> Tensor:
    if node.kind == "Upsample" or node.opset < 11:
        return places.floor()
    mode = node.get("nearest_mode", "round_prefer_floor")
    if mode == "floor":
        return places.floor()
    if mode == "ceil":
        return places.ceil()
    return (places - 0.5).ceil() if mode == "round_prefer_floor" else (places + 0.5).floor()


def _cubic(part: Tensor, a: float) -> dict[int, Tensor]:
    """Return the weights of the taps around a place (Keys 1981), by their distance."""

    def near(d: Tensor) -> Tensor:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Tensor) -> Tensor:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return {-1: far(1 + part), 0: near(part), 1: near(1 - part), 2: far(2 - part)}


def _steps(node: Node, axes: int) -> tuple[list[int], list[int]]:
    """Return strides and dilations."""
    return list(node.get("strides", [1] * axes)), list(node.get("dilations", [1] * axes))


def _edges(node: Node, x: Tensor, kernel: Sequence[int]) -> Edges:
    """Return the padding of a window that slides over x."""
    rule = node.get("auto_pad", "NOTSET")
    if rule == "NOTSET":
        pads = node.get("pads", [0] * 2 * len(kernel))
        return list(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))
    if rule == "VALID":
        return [(0, 0)] * len(kernel)
    edges = []
    for length, side, stride, dilation in zip(
        x.shape[2:], kernel, *_steps(node, len(kernel)), strict=True
    ):
        reach = (-(-length // stride) - 1) * stride + (side - 1) * dilation + 1
        edges.append(_halves(max(0, reach - length), more_after=rule == "SAME_UPPER"))
    return edges


def _transposed_edges(node: Node, x: Tensor, whole: Tensor, strides: Sequence[int]) -> Edges:
    """Return how much of a transposed convolution without padding is cut off."""
    rule = node.get("auto_pad", "NOTSET")
    sizes = node.get("output_shape")
    if sizes is None:
        if rule in ("NOTSET", "VALID"):
            return _edges(node, x, strides)
        sizes = [length * stride for length, stride in zip(x.shape[2:], strides, strict=True)]
    return [
        _halves(length - size, more_after=rule == "SAME_UPPER")
        for length, size in zip(whole.shape[2:], sizes[-len(strides) :], strict=True)
    ]


def _halves(total: int, *, more_after: bool) -> tuple[int, int]:
    less, more = total // 2, total - total // 2
    return (less, more) if more_after else (more, less)


def _padded(
    x: Tensor, edges: Edges, value: float, most: Sequence[int] | None = None
) -> tuple[Tensor, list[int]]:
    """Return x and the padding that is left to PyTorch, which is the same before and after.

    Other padding is put around x. most: of each axis, what PyTorch takes.
    """
    alike = all(before == after for before, after in edges)
    if alike and (most is None or all(e[0] <= m for e, m in zip(edges, most, strict=True))):
        return x, [before for before, _ in edges]
    return functional.pad(x, _for_torch(edges), value=value), [0] * len(edges)


def _for_torch(edges: Edges) -> list[int]:
    """Return paddings as PyTorch wants them: of the last axis first."""
    return [side for edge in reversed(edges) for side in edge]
