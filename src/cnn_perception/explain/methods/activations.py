"""Activations: what every channel of a layer answers to an image."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.explain.methods.hooks import examined, recorded
from cnn_perception.explain.methods.layers import check_layer
from cnn_perception.explain.methods.tiles import tiled
from cnn_perception.image.key import Key, viridis_key
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["activation_sheet", "draw_activations", "layer_activations"]

_SIDE = 48
_MOST = 256


def layer_activations(network: nn.Module, layer: str, images: Tensor) -> Float32Array:
    """Return the feature maps of a layer for one normalised image (1, 3, H, W): float32 (K, h, w).

    They are what the layer itself answers, also where the next one works in place. Raises
    ConfigError for a layer that does not exist or has no maps.
    """
    check_layer(network, layer)
    with examined(network), torch.no_grad(), recorded(network, layer) as recording:
        network(images.clone())
        return np.array(recording.maps[0].detach().cpu().numpy(), np.float32)


def activation_sheet(
    network: nn.Module, layer: str, images: Tensor, most: int = _MOST
) -> tuple[UInt8Array, Key]:
    """Return the first `most` maps as `draw_activations` draws them, and their key."""
    maps = layer_activations(network, layer, images)
    return draw_activations(maps, most), viridis_key("least", "largest of each map")


def draw_activations(maps: Float32Array, most: int = _MOST) -> UInt8Array:
    """Return the first `most` maps (K, h, w) as a grid in the viridis colours, RGB uint8.

    Each spans its own range, from dark (its least) to bright; a constant one is dark.
    """
    least = maps.min((1, 2), keepdims=True)
    span = maps.max((1, 2), keepdims=True) - least
    levels = np.where(span > 0, (maps - least) / np.where(span > 0, span, 1), 0) * 255
    scale = max(1, -(-_SIDE // max(maps.shape[1:])))
    tiles = [
        np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS)[:, :, ::-1], np.uint8)
        for level in np.round(levels[:most]).astype(np.uint8)
    ]
    return tiled(tiles, scale=scale)
