"""Activation maximisation: the image that a unit, a channel or a class answers to most."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.features import features
from cnn_perception.offboard.explain_methods.hooks import examined, gradient
from cnn_perception.offboard.explain_methods.image_optimisation import (
    ImageOptimisationConfig,
    OptimisedImage,
    Progress,
    optimise_image,
)
from cnn_perception.offboard.explain_methods.targets import Target

__all__ = ["MAXIMISATION", "activation", "channel_target", "maximise"]

MAXIMISATION = ImageOptimisationConfig(rate=0.2, tv=0.02, decay=0.002, blur=1.0, jitter=8)
"""What to begin with."""


def maximise(
    network: nn.Module,
    target: Target,
    start: Tensor,
    config: ImageOptimisationConfig = MAXIMISATION,
    *,
    layer: str = "",
    limits: tuple[Tensor, Tensor] | None = None,
    progress: Progress = lambda step, loss: None,
) -> OptimisedImage:
    """Return an image that a target y is large for, found by gradient ascent.

    It lessens -y / s (term "target") and the regularisers of `config`: the mean square of Simonyan
    et al. 2014, section 2, the blur of Yosinski et al. 2015, section 4, shifts and total variation.
    s is sqrt(n) |dy/dx| where it begins, for n values x, so that a weight means the same for every
    target: of a linear one the root mean square of x becomes 1 / (2 decay).
    target: of the network's answer, as `class_target`, or of that of `layer`, as `channel_target`;
    start: normalised (1, 3, H, W), `noise`, or a picture, whose traces of the target grow; limits:
    as of `optimise_image`. Raises ConfigError where dy/dx is 0 at first.
    """
    with examined(network):
        leaf = start.detach().clone().requires_grad_()
        slope = (
            gradient(_value(network, target, leaf, layer), leaf, "the image").square().sum().sqrt()
        )
        scale = float(slope) * math.sqrt(leaf.numel())
        if not scale > 0:
            raise ConfigError(
                "the target does not change with the image that it begins with: give another seed, "
                "or a picture"
            )
        return optimise_image(
            lambda image: {"target": -_value(network, target, image, layer) / scale},
            start,
            config,
            limits,
            progress,
        )


def activation(network: nn.Module, target: Target, images: Tensor, layer: str = "") -> float:
    """Return a target of one image (1, 3, H, W), as `maximise` takes it."""
    with examined(network), torch.no_grad():
        return float(_value(network, target, images, layer))


def _value(network: nn.Module, target: Target, images: Tensor, layer: str) -> Tensor:
    answer: Any = features(network, [layer], images)[0] if layer else network(images.clone())
    return target(answer).sum()


def channel_target(channel: int) -> Target:
    """Return the target that is the mean of one channel's map (B, K, h, w), or a unit (B, K).

    The target raises ConfigError for an answer without such a channel.
    """

    def target(answer: Any) -> Tensor:
        if not isinstance(answer, Tensor) or answer.dim() not in (2, 4):
            raise ConfigError("the layer answers with neither maps nor units: choose another")
        if not 0 <= channel < answer.shape[1]:
            raise ConfigError(
                f"target = {channel} is no channel of the layer: give one of 0 to "
                f"{answer.shape[1] - 1}"
            )
        return answer[:, channel].flatten(1).mean(1) if answer.dim() == 4 else answer[:, channel]

    return target
