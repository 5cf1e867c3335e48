"""The deconvolutional network: features projected back to pixels."""

from __future__ import annotations

from torch import Tensor, nn

from cnn_perception.explain.methods.hooks import ReluRule, relu_rule
from cnn_perception.explain.methods.saliency import input_gradient
from cnn_perception.explain.methods.targets import Target
from cnn_perception.types import Float32Array

__all__ = ["deconvnet"]


def deconvnet(network: nn.Module, images: Tensor, target: Target) -> Float32Array:
    """Return what a target projects back to, float32 (H, W, 3) of either sign.

    It is the gradient of the target with respect to the normalised image (1, 3, H, W), where ReLUs
    pass positive gradients whatever their input was, and max pooling goes back through its switches
    (Zeiler and Fergus 2014, section 2.1; as a gradient, Simonyan et al. 2014, section 4). See
    `relu_rule` for activations of other kinds.
    """
    with relu_rule(ReluRule.DECONVNET):
        return input_gradient(network, images, target)
