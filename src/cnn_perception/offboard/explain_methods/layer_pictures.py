"""Pictures of layers: what the channels answer to an image, and the filters of the first one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.image.key import Key, grey_key, viridis_key
from cnn_perception.offboard.explain_methods.hooks import examined, recorded
from cnn_perception.offboard.explain_methods.layers import check_layer
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "activation_sheet",
    "draw_activations",
    "draw_filters",
    "filter_sheet",
    "first_filters",
    "layer_activations",
]

_MAP_SIDE = 48
_MOST = 256
_FILTER_SIDE = 44
_GROUND = 32


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
    """Return the first `most` maps (K, h, w) as a grid in the viridis colors, RGB uint8.

    Each spans its own range, from dark (its least) to bright; a constant one is dark.
    """
    least = maps.min((1, 2), keepdims=True)
    span = maps.max((1, 2), keepdims=True) - least
    levels = np.where(span > 0, (maps - least) / np.where(span > 0, span, 1), 0) * 255
    scale = max(1, -(-_MAP_SIDE // max(maps.shape[1:])))
    tiles = [
        np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS)[:, :, ::-1], np.uint8)
        for level in np.round(levels[:most]).astype(np.uint8)
    ]
    return tiled(tiles, scale=scale)


def filter_sheet(network: nn.Module) -> tuple[UInt8Array, Key]:
    """Return the first filters as `draw_filters` draws them, and their key."""
    return draw_filters(first_filters(network)), grey_key("1 of its largest weight")


def first_filters(network: nn.Module) -> Float32Array:
    """Return the weights of the first convolution: float32 (K, h, w, channels), channels 3 or 1.

    That is Krizhevsky et al. 2012, figure 3. Raises ConfigError where it does not see an image.
    """
    first = next((x for x in network.modules() if isinstance(x, nn.Conv2d)), None)
    if first is None or first.weight.shape[1] not in (1, 3):
        raise ConfigError("the first convolution of this network sees no image: choose another")
    return np.array(first.weight.detach().permute(0, 2, 3, 1).cpu().numpy(), np.float32)


def draw_filters(filters: Float32Array) -> UInt8Array:
    """Return filters as a grid, RGB uint8: each by its own largest weight, and 0 as middle grey."""
    largest = np.abs(filters).max((1, 2, 3), keepdims=True)
    values = 0.5 + 0.5 * filters / np.where(largest > 0, largest, 1)
    pictures = np.broadcast_to(np.round(values * 255).astype(np.uint8), (*filters.shape[:3], 3))
    return tiled(list(pictures), scale=max(1, _FILTER_SIDE // filters.shape[1]))


def tiled(pictures: Sequence[UInt8Array], *, scale: int = 1, gap: int = 2) -> UInt8Array:
    """Return pictures of one size, uint8 (h, w, 3), as a grid about as wide as high.

    scale: screen pixels per pixel, along each axis; gap: between pictures, screen pixels.
    """
    height, width = (side * scale for side in pictures[0].shape[:2])
    columns = math.ceil(math.sqrt(len(pictures) * (height + gap) / (width + gap)))
    rows = math.ceil(len(pictures) / columns)
    size = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(size, _GROUND, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        y, x = gap + row * (height + gap), gap + column * (width + gap)
        large = picture.repeat(scale, 0).repeat(scale, 1)
        sheet[y : y + height, x : x + width] = large
    return sheet
