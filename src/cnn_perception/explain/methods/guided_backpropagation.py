"""Guided backpropagation, and guided Grad-CAM."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor, nn

from cnn_perception.explain.methods.grad_cam import grad_cam
from cnn_perception.explain.methods.hooks import ReluRule, relu_rule
from cnn_perception.explain.methods.saliency import input_gradient
from cnn_perception.explain.methods.targets import Target
from cnn_perception.types import Float32Array

__all__ = ["guided_backpropagation", "guided_grad_cam"]


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
