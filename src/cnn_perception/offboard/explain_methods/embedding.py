"""Many pictures as points: the features of each, and these in two dimensions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.hooks import examined, recorded
from cnn_perception.offboard.explain_methods.layers import check_layer
from cnn_perception.types import Float32Array

__all__ = ["Points", "layer_features", "pca", "pca_points", "t_sne", "t_sne_points"]

_BEFORE_T_SNE = 30
"""Principal components that t-SNE is given, as by its authors (section 4.2)."""


class Points(NamedTuple):
    """Places of pictures, float32 (N, 2), what to note about them, and what the axes are."""

    places: Float32Array
    record: dict[str, Any]
    axes: tuple[str, str]


def layer_features(network: nn.Module, layer: str, images: Tensor) -> Float32Array:
    """Return what a layer answers to one normalised image (1, 3, H, W), as one vector float32 (K,).

    Maps are averaged over their pixels; the answer of a flat layer is taken as it is. Raises
    ConfigError for a layer that does not exist or answers with neither.
    """
    check_layer(network, layer)
    with examined(network), torch.no_grad(), recorded(network, layer) as recording:
        network(images.clone())
        if recording.outputs and recording.outputs[-1].dim() == 2:
            values = recording.outputs[-1][0]
        else:
            values = recording.maps[0].mean((1, 2))
    return np.array(values.detach().cpu().numpy(), np.float32)


def pca(features: Float32Array, components: int = 2) -> tuple[Float32Array, Float32Array]:
    """Return features (N, K) along their principal components, and the shares of these.

    That is float32 (N, components), and float32 (components,): how much of the variance each has,
    the largest first. The sign of a component is that which makes its largest weight positive;
    those that N pictures do not have are 0. Raises ConfigError for fewer than two pictures and for
    values that are not finite.
    """
    _check(features, "PCA", least=2)
    centred = features - features.mean(0, dtype=np.float64)
    left, spread, weights = np.linalg.svd(centred, full_matrices=False)
    spread[spread <= np.finfo(np.float32).eps * np.abs(features).max(initial=0.0)] = 0.0
    largest = np.abs(weights).argmax(1)
    scores = left * spread * np.where(weights[np.arange(len(weights)), largest] < 0, -1.0, 1.0)
    shares = spread**2 / (np.square(spread).sum() or 1.0)
    missing = max(0, components - len(shares))
    points = np.pad(scores[:, :components], ((0, 0), (0, missing)))
    return np.asarray(points, np.float32), np.asarray(
        np.pad(shares[:components], (0, missing)), np.float32
    )


def t_sne(
    features: Float32Array, *, perplexity: float = 30.0, seed: int = 0
) -> tuple[Float32Array, float]:
    """Return features (N, K) in the plane, near where they are near, and the perplexity used.

    That is float32 (N, 2) (van der Maaten and Hinton 2008): what is close belongs together, while
    the distances between groups mean little. perplexity: about how many neighbours a picture has,
    at most a third of the others. It begins with the first two principal components; equal seeds
    give equal points. Raises ConfigError for fewer than four pictures, values that are not finite,
    or where scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"t-SNE needs {error.name}: install cnn_perception with the [train] extra"
        ) from error
    _check(features, "t-SNE", least=4)
    used = min(perplexity, (len(features) - 1) / 3)
    reduced, _ = pca(features, _BEFORE_T_SNE)
    begin = reduced[:, :2]
    spread = float(begin[:, 0].std())
    if not spread:
        return begin, used  # all are equal
    # One thread, as sums over several come out in any order.
    with threadpool_limits(1):
        points = TSNE(perplexity=used, init=begin / spread * 1e-4, random_state=seed).fit_transform(
            reduced
        )
    return np.asarray(points, np.float32), used


def pca_points(features: Float32Array) -> Points:
    """Return features (N, K) by their first two principal components, see `pca`."""
    points, shares = pca(features)
    first, second = (f"{share:.1%} of the variance" for share in shares)
    record = {"explained_variance": [round(float(share), 6) for share in shares]}
    return Points(points, record, (f"first principal component, {first}", f"second, {second}"))


def t_sne_points(features: Float32Array) -> Points:
    """Return features (N, K) by `t_sne`."""
    points, perplexity = t_sne(features)
    words = f"perplexity {perplexity:.3g}; near is alike, large distances mean little"
    return Points(points, {"perplexity": round(perplexity, 6)}, (words, ""))


def _check(features: Float32Array, method: str, least: int) -> None:
    if len(features) < least:
        raise ConfigError(f"{method} needs {least} pictures or more: {len(features)} were given")
    if not np.isfinite(features).all():
        raise ConfigError(f"{method}: the layer answers with values that are not finite")
