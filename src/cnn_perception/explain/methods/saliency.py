"""Saliency: how much each pixel would change the target."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from cnn_perception.explain.methods.hooks import examined, gradient
from cnn_perception.explain.methods.targets import Target
from cnn_perception.types import Float32Array

__all__ = ["input_gradient", "saliency"]


def saliency(network: nn.Module, images: Tensor, target: Target) -> Float32Array:
    """Return max_c |dy/dI_c| of a target y, float32 (H, W) (Simonyan et al. 2014, section 3.1).

    images: one, normalised float32 (1, 3, H, W); the gradient is that of the normalised image I.
    """
    return np.asarray(np.abs(input_gradient(network, images, target)).max(2), np.float32)


def input_gradient(network: nn.Module, images: Tensor, target: Target) -> Float32Array:
    """Return dy/dI of a target y and one normalised image I, float32 (H, W, 3), of either sign."""
    with examined(network):
        leaf = images.detach().clone().requires_grad_()
        # Networks that work in place from the first layer on must not meet the leaf itself.
        values = gradient(target(network(leaf.clone())).sum(), leaf, "the image")
    return np.ascontiguousarray(values[0].permute(1, 2, 0).cpu().numpy(), np.float32)
