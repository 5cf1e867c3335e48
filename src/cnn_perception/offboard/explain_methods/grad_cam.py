"""CAM, Grad-CAM and Grad-CAM++: feature maps, each as heavy as weights or gradients say."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.hooks import examined, gradient, recorded
from cnn_perception.offboard.explain_methods.layers import check_layer
from cnn_perception.offboard.explain_methods.targets import Target
from cnn_perception.types import Float32Array

__all__ = [
    "class_activation_map",
    "grad_cam",
    "grad_cam_plus_plus",
    "mean_gradients",
    "shared_gradients",
]

_STABILISER = 1e-6


def class_activation_map(
    network: nn.Module, layer: str, images: Tensor, class_id: int
) -> Float32Array:
    """Return M = sum_k w_ck A_k, float32 (h, w) of either sign (Zhou et al. 2016, equation 2).

    Its mean and the class's bias make the logit. images: one, normalised float32 (1, 3, H, W);
    layer: whose maps A are averaged; w: weights of the last linear layer. Raises ConfigError where
    the logits are not of this form, which is tried, not guessed.
    """
    check_layer(network, layer)
    with examined(network), torch.no_grad(), recorded(network, layer) as recording:
        logits = network(images.clone())
        maps = recording.maps[0]
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]
    if not linear or linear[0].in_features != len(maps) or not isinstance(logits, Tensor):
        raise ConfigError(_no_cam(layer))
    with torch.no_grad():
        again = linear[0](maps.mean((1, 2)))
    if again.shape != logits[0].shape or not torch.allclose(again, logits[0], 1e-3, 1e-4):
        raise ConfigError(_no_cam(layer))
    if not 0 <= class_id < len(again):
        raise ConfigError(f"target = {class_id} is no class: give one of 0 to {len(again) - 1}")
    cam = torch.einsum("k,kij->ij", linear[0].weight[class_id].detach(), maps.detach())
    return np.asarray(cam.cpu().numpy(), np.float32)


def _no_cam(layer: str) -> str:
    return (
        f"CAM needs logits that are a linear layer on the averages of layer {layer}: name the "
        "last maps of a network as resnet18 has it, or choose gradcam"
    )


def grad_cam(network: nn.Module, layer: str, images: Tensor, target: Target) -> Float32Array:
    """Return where a layer's maps A speak for a target y: float32 (h, w), not negative.

    L = relu(sum_k w_k A_k), w_k = mean_ij dy/dA_kij (Selvaraju et al. 2017, equations 1 and 2).
    images: one, normalised float32 (1, 3, H, W); layer: dotted name; h and w are those of the
    layer, values have no common scale. Raises ConfigError for a layer that does not exist, has no
    maps or no part in the target.
    """
    maps, gradients = _maps_and_gradients(network, layer, images, target)
    return _weighted(maps, mean_gradients(maps, gradients))


def grad_cam_plus_plus(
    network: nn.Module,
    layer: str,
    images: Tensor,
    target: Target,
    *,
    stabiliser: float = _STABILISER,
) -> Float32Array:
    """Return Grad-CAM++, which gives several objects of one class their shares, as `grad_cam` does.

    w_k = sum_ij a_kij relu(g_kij), a = g^2 / (2 g^2 + g^3 sum_ab A_kab), g = dy/dA
    (Chattopadhay et al. 2018, equations 12 and 19, for y = exp of the target, whose factor scales
    all). stabiliser is added to the denominator, as pytorch-grad-cam does: it makes small gradients
    count less than in the paper, which has 0.
    """
    maps, gradients = _maps_and_gradients(network, layer, images, target)
    return _weighted(maps, shared_gradients(maps, gradients, stabiliser))


def mean_gradients(maps: Tensor, gradients: Tensor) -> Tensor:
    """Return Grad-CAM's weights (K,) of maps and gradients there, both (K, h, w)."""
    return gradients.mean((1, 2))


def shared_gradients(maps: Tensor, gradients: Tensor, stabiliser: float = _STABILISER) -> Tensor:
    """Return Grad-CAM++'s weights (K,) of maps and gradients there, both (K, h, w)."""
    squares = gradients.square()
    sums = maps.sum((1, 2), keepdim=True)
    denominators = 2 * squares + sums * squares * gradients + stabiliser
    shares = torch.where(denominators != 0, squares / denominators, 0.0)
    return (shares * gradients.clamp(min=0)).sum((1, 2))


def _maps_and_gradients(
    network: nn.Module, layer: str, images: Tensor, target: Target
) -> tuple[Tensor, Tensor]:
    """Return a layer's maps of one image and the target's gradients there, both (K, h, w)."""
    check_layer(network, layer)
    with examined(network), recorded(network, layer) as recording:
        value = target(network(images.clone())).sum()
        maps = recording.maps
        gradients = gradient(value, maps, f"layer {layer}")
    return maps.detach()[0], gradients[0]


def _weighted(maps: Tensor, weights: Tensor) -> Float32Array:
    """Return the positive part of weighted maps' sum."""
    cam = torch.einsum("k,kij->ij", weights, maps).clamp(min=0)
    return np.asarray(cam.cpu().numpy(), np.float32)
