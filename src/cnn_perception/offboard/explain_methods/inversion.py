"""Feature inversion: the image that a layer's answer still tells of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnn_perception.offboard.explain_methods.features import features, relative_distance
from cnn_perception.offboard.explain_methods.hooks import examined
from cnn_perception.offboard.explain_methods.image_optimisation import (
    ImageOptimisationConfig,
    OptimisedImage,
    Progress,
    noise,
    optimise_image,
)

__all__ = ["invert"]


def invert(
    network: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    config: ImageOptimisationConfig | None = None,
    *,
    limits: tuple[Tensor, Tensor] | None = None,
    progress: Progress = lambda step, loss: None,
) -> OptimisedImage:
    """Return an image x, found from noise, that layers answer as they do to a given one, x0.

    It lessens |f(x) - f(x0)|^2 / |f(x0)|^2, averaged over the layers (term "features"), and the
    total variation (Mahendran and Vedaldi 2015, equations 1 and 2, section 3). layers: dotted or
    published names; images: x0, normalised float32 (1, 3, H, W); limits: as of `optimise_image`.
    Raises ConfigError for a layer that does not exist or has no part in the network's answer.
    """
    config = config or ImageOptimisationConfig()
    with examined(network):
        with torch.no_grad():
            wanted = features(network, layers, images)
        return optimise_image(
            lambda image: {"features": relative_distance(features(network, layers, image), wanted)},
            noise(images.shape[2:], config.seed),
            config,
            limits,
            progress,
        )
