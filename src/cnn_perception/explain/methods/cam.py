"""CAM, for classifiers that average their last feature maps and add them up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.explain.methods.hooks import examined, recorded
from cnn_perception.explain.methods.layers import check_layer
from cnn_perception.types import Float32Array

__all__ = ["class_activation_map"]


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
        raise ConfigError(_unfit(layer))
    with torch.no_grad():
        again = linear[0](maps.mean((1, 2)))
    if again.shape != logits[0].shape or not torch.allclose(again, logits[0], 1e-3, 1e-4):
        raise ConfigError(_unfit(layer))
    if not 0 <= class_id < len(again):
        raise ConfigError(f"target = {class_id} is no class: give one of 0 to {len(again) - 1}")
    cam = torch.einsum("k,kij->ij", linear[0].weight[class_id].detach(), maps.detach())
    return np.asarray(cam.cpu().numpy(), np.float32)


def _unfit(layer: str) -> str:
    return (
        f"CAM needs logits that are a linear layer on the averages of layer {layer}: name the "
        "last maps of a network as resnet18 has it, or choose gradcam"
    )
