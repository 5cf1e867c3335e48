"""Gradients at the pixels: saliency, the deconvolutional network, and what is guided."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor, nn

from cnn_perception.offboard.explain_methods.grad_cam import grad_cam
from cnn_perception.offboard.explain_methods.hooks import ReluRule, examined, gradient, relu_rule
from cnn_perception.offboard.explain_methods.targets import Target
from cnn_perception.types import Float32Array

__all__ = ["deconvnet", "guided_backpropagation", "guided_grad_cam", "input_gradient", "saliency"]


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


def deconvnet(network: nn.Module, images: Tensor, target: Target) -> Float32Array:
    """Return what a target projects back to, float32 (H, W, 3) of either sign.

    It is the gradient of the target with respect to the normalised image (1, 3, H, W), where ReLUs
    pass positive gradients whatever their input was, and max pooling goes back through its switches
    (Zeiler and Fergus 2014, section 2.1; as a gradient, Simonyan et al. 2014, section 4). See
    `relu_rule` for activations of other kinds.
    """
    with relu_rule(ReluRule.DECONVNET):
        return input_gradient(network, images, target)


def guided_backpropagation(network: nn.Module, images: Tensor, target: Target) -> Float32Array:
    """Return the fine structure that speaks for a target, float32 (H, W, 3) of either sign.

    It is the gradient of the target with respect to the normalised image (1, 3, H, W), where a ReLU
    passes only what is positive on the way forth and on the way back (Springenberg et al. 2015,
    section 3.4). See `relu_rule` for activations of other kinds.
    """
    with relu_rule(ReluRule.GUIDED):
        return input_gradient(network, images, target)


def guided_grad_cam(network: nn.Module, layer: str, images: Tensor, target: Target) -> Float32Array:
    """Return guided backpropagation times `grad_cam` of a layer, float32 (H, W, 3).

    Grad-CAM is enlarged bilinearly to the image (Selvaraju et al. 2017, section 3.2).
    """
    cam = grad_cam(network, layer, images, target)
    guided = guided_backpropagation(network, images, target)
    height, width = guided.shape[:2]
    heat = cv2.resize(cam, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(guided * heat[:, :, None], np.float32)
