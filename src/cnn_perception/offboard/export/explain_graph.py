"""Explain graphs: Grad-CAM and Grad-CAM++ with the backward pass of a head, as ONNX graphs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from onnx import ModelProto
from torch import Tensor
from torch.nn import functional

from cnn_perception.errors import ExplainError
from cnn_perception.offboard.export.class_logits import ClassLogits
from cnn_perception.offboard.export.onnx_graph import OnnxGraph
from cnn_perception.offboard.export.traced import traced

__all__ = ["class_explanation", "level_explanation", "region_explanation"]

_STABILISER = 1e-6
"""Of Grad-CAM++'s denominator, as in pytorch-grad-cam and `offboard.explain_methods.grad_cam`."""


def class_explanation(graph: OnnxGraph, feature_map: str, logits: str) -> ModelProto:
    """Return the explanation of a class's logit.

    logits: tensor (1, C). The graph takes feature_map float32 (1, K, h, w) and class_index int64
    (1,), and answers with cam and cam_plus_plus, both float32 (1, h, w); see `_cams`. Raises
    ExplainError where the logits have no gradient there that ONNX can compute.
    """
    classes = graph.shapes[logits][1]
    return _explanation(graph, feature_map, logits, lambda index: _one_hot(index, classes))


def level_explanation(graph: OnnxGraph, feature_map: str, logits: ClassLogits) -> ModelProto:
    """Return the explanation of a class's logit at one box of a detector's level.

    logits: those of the level. The graph takes feature_map float32 (1, K, h, w), anchor int64 (1,),
    a box of the level, and class_index int64 (1,); it answers as that of `class_explanation`.
    """
    per_box, per_class, first = logits.strides(graph)
    shape = graph.shapes[logits.tensor]

    def seed(class_index: Tensor, anchor: Tensor) -> Tensor:
        place = anchor * per_box + first + class_index * per_class
        return torch.zeros(math.prod(shape)).scatter(0, place, torch.ones(1)).view(shape)

    anchor = torch.zeros(1, dtype=torch.int64)
    return _explanation(graph, feature_map, logits.tensor, seed, anchor=anchor)


def region_explanation(graph: OnnxGraph, feature_map: str, logits: str) -> ModelProto:
    """Return the explanation of a class's logits summed over a region.

    logits: tensor (1, C, H, W). The graph takes feature_map float32 (1, K, h, w), class_index int64
    (1,) and region float32 (1, H, W), the weight of each logit; it answers as that of
    `class_explanation`. Tensors of the network that join the way from the feature map to the logits
    are further inputs, by their names there.
    """
    _, classes, *sides = graph.shapes[logits]

    def seed(class_index: Tensor, region: Tensor) -> Tensor:
        return _one_hot(class_index, classes).view(1, classes, 1, 1) * region[:, None]

    return _explanation(graph, feature_map, logits, seed, region=torch.zeros(1, *sides))


def _one_hot(class_index: Tensor, classes: int) -> Tensor:
    """Return the row (1, classes) that is 1 at class_index."""
    return (torch.arange(classes)[None] == class_index).float()


def _explanation(
    graph: OnnxGraph,
    feature_map: str,
    logits: str,
    seed: Callable[..., Tensor],
    **asked: Tensor,
) -> ModelProto:
    """Return the explanation of sum(seed * logits); seed: of class_index and what else is asked."""
    graph.check_map(feature_map, graph.outputs)
    if not graph.between(feature_map, logits):
        raise ExplainError(
            f"{graph.file}: {logits!r} does not depend on {feature_map!r}: name another"
        )
    joining = graph.joining(feature_map, logits)

    def explain(maps: Tensor, class_index: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        leaf = maps.detach().requires_grad_()
        feeds = {feature_map: leaf, **dict(zip(joining, others[len(asked) :], strict=True))}
        answer = graph.network.run(feeds, [logits])[logits]
        weights = seed(class_index, *others[: len(asked)])
        (gradient,) = torch.autograd.grad(answer, leaf, weights)
        return _cams(maps, gradient)

    examples = {
        "feature_map": torch.zeros(graph.shapes[feature_map]),
        "class_index": torch.zeros(1, dtype=torch.int64),
        **asked,
        **{name: torch.zeros(graph.shapes[name]) for name in joining},
    }
    try:
        return traced(explain, examples, ["cam", "cam_plus_plus"])
    except Exception as error:  # whatever PyTorch's tracer and exporter raise
        raise ExplainError(
            f"{graph.file}: the gradient of {logits!r} by {feature_map!r} cannot be written in "
            f"ONNX ({' '.join(str(error).split())[-160:]}): name a feature map nearer to the answer"
        ) from error


def _cams(maps: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum (1, h, w) of maps (1, K, h, w) by either weights, relu(sum_k w_k A_k).

    Grad-CAM: w_k = mean g_k (Selvaraju et al. 2017, equations 1 and 2). Grad-CAM++: w_k = sum a_k
    relu(g_k), a = g^2 / (2 g^2 + g^3 sum A) (Chattopadhay et al. 2018, equations 12 and 19), which
    is the sum of r^3 / (2 r^2 + r^3 sum A) for r = relu(g).
    """
    shape = (1, *maps.shape[2:])
    rows, g = maps.flatten(2), gradient.flatten(2)
    r = functional.relu(g)
    squares = r * r
    steep = r * rows.sum(2, keepdim=True)
    shares = squares * r / (squares * (steep + 2.0) + _STABILISER)
    cam, plus_plus = (
        functional.relu(weights[:, None] @ rows).view(shape)
        for weights in (g.mean(2), shares.sum(2))
    )
    return cam, plus_plus
