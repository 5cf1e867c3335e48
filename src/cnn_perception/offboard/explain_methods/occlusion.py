"""Occlusion: what the target loses when a part of the image is covered."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.hooks import examined
from cnn_perception.offboard.explain_methods.targets import Target
from cnn_perception.types import Float32Array

__all__ = ["occlusion"]


def occlusion(
    network: nn.Module,
    images: Tensor,
    target: Target,
    *,
    window: int | None = None,
    stride: int | None = None,
    baseline: float = 0.0,
    batch: int = 16,
) -> Float32Array:
    """Return the mean fall of a target over the covers of each pixel, float32 (H, W).

    D_p = mean over windows W with p in W of y(I) - y(I covered at W), positive where the image
    speaks for the target (Zeiler and Fergus 2014, section 4.2).
    images: one, normalised float32 (1, 3, H, W); window, stride: side and distance of the squares,
    pixels, by default a seventh of the image's shorter side, and half of that; baseline: of the
    cover, after normalisation, so that 0 is the mean color; batch: images that the network is
    given at once. Raises ConfigError for sizes without sense.
    """
    height, width = images.shape[2:]
    window = max(1, min(height, width) // 7) if window is None else window
    stride = (window + 1) // 2 if stride is None else stride
    if not 0 < stride <= window <= min(height, width) or batch < 1:
        raise ConfigError(
            f"window = {window}, stride = {stride}, batch = {batch} for an image of {width}x"
            f"{height}: give 0 < stride <= window <= {min(height, width)} and batch >= 1"
        )
    squares = [
        (slice(y, y + window), slice(x, x + window))
        for y, x in itertools.product(
            _starts(height, window, stride), _starts(width, window, stride)
        )
    ]
    falls = np.zeros((height, width), np.float64)
    covers = np.zeros((height, width), np.int64)
    with examined(network), torch.no_grad():
        whole = target(network(images.clone()))
        for first in range(0, len(squares), batch):
            group = squares[first : first + batch]
            covered = images.repeat(len(group), 1, 1, 1)
            for image, (rows, columns) in zip(covered, group, strict=True):
                image[:, rows, columns] = baseline
            lost = (whole - target(network(covered))).cpu().numpy()
            for fall, square in zip(lost, group, strict=True):
                falls[square] += fall
                covers[square] += 1
    return np.asarray(falls / covers, np.float32)


def _starts(size: int, window: int, stride: int) -> range:
    """Return where windows begin along one axis; the last may reach beyond the image."""
    return range(0, (math.ceil((size - window) / stride) + 1) * stride, stride)
