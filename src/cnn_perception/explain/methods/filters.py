"""Filters of the first convolution, which can be seen as they are."""

from __future__ import annotations

import numpy as np
from torch import nn

from cnn_perception.errors import ConfigError
from cnn_perception.explain.methods.tiles import tiled
from cnn_perception.image.key import Key, grey_key
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["draw_filters", "filter_sheet", "first_filters"]

_SIDE = 44


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
    return tiled(list(pictures), scale=max(1, _SIDE // filters.shape[1]))
