"""PCA and t-SNE of features: against scikit-learn, by hand, and what they keep."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
decomposition = pytest.importorskip(
    "sklearn.decomposition", reason="scikit-learn is an extra: [train]"
)

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.embedding import layer_features, pca, t_sne  # noqa: E402
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402


def _clusters(*, each: int, distance: float, seed: int = 3) -> np.ndarray:
    """Three clusters of unit width in twenty dimensions, one after the other."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(distance * np.eye(3, 20), each, axis=0)
    return (centres + rng.standard_normal((3 * each, 20))).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 6), (7, 90), (3, 3)])
def test_pca_as_scikit_learn(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    features = (5 + rng.standard_normal(shape) * np.arange(1, shape[1] + 1)).astype(np.float32)
    points, shares = pca(features)
    assert points.dtype == shares.dtype == np.float32
    oracle = decomposition.PCA(2, svd_solver="full").fit(features.astype(np.float64))
    expected = oracle.transform(features)
    expected *= np.sign((expected * points).sum(0))
    np.testing.assert_allclose(points, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, rtol=1e-5)


def test_pca_by_hand() -> None:
    # Along (3, 4) / 5 by -2, 0 and 2, across it by -1, 2 and -1: variances 8 and 6.
    along, across = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    features = np.outer([-2, 0, 2], along) + np.outer([-1, 2, -1], across) + (7, -3)
    points, shares = pca(features.astype(np.float32))
    # The largest weight of a component is positive: 0.8 in the first, so the second is turned.
    np.testing.assert_allclose(points, [[-2, 1], [0, -2], [2, 1]], atol=1e-5)
    np.testing.assert_allclose(shares, [8 / 14, 6 / 14], atol=1e-6)
    mirrored, _ = pca(-features.astype(np.float32))
    np.testing.assert_allclose(mirrored, -points, atol=1e-5)


def test_components_that_there_are_not_are_zero() -> None:
    points, shares = pca(np.array([[1.0], [2.0], [6.0]], np.float32))
    np.testing.assert_allclose(points, [[-2, 0], [-1, 0], [3, 0]], atol=1e-6)
    assert shares.tolist() == [1, 0]
    for equal in (pca(np.full((5, 3), 0.1, np.float32))[0], t_sne(np.ones((5, 3), np.float32))[0]):
        assert not equal.any()


def test_t_sne_keeps_clusters_apart_and_is_the_same_by_seed() -> None:
    features = _clusters(each=15, distance=30.0)
    points, perplexity = t_sne(features, perplexity=10.0, seed=1)
    assert (points.shape, points.dtype, perplexity) == ((45, 2), np.float32, 10.0)
    owners = np.repeat(np.arange(3), 15)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    same = owners[:, None] == owners
    assert distances[same].max() < distances[~same].min()
    np.testing.assert_array_equal(t_sne(features, perplexity=10.0, seed=1)[0], points)


@pytest.mark.parametrize(("count", "used"), [(4, 1.0), (10, 3.0), (100, 30.0)])
def test_perplexity_is_bounded_by_the_number_of_pictures(count: int, used: float) -> None:
    features = np.random.default_rng(1).standard_normal((count, 5)).astype(np.float32)
    points, perplexity = t_sne(features)
    assert perplexity == pytest.approx(used)
    assert np.isfinite(points).all() and np.ptp(points, axis=0).all()


def test_too_few_pictures_and_broken_features_are_refused() -> None:
    with pytest.raises(ConfigError, match="PCA needs 2 pictures or more: 1 were given"):
        pca(np.ones((1, 4), np.float32))
    with pytest.raises(ConfigError, match="t-SNE needs 4 pictures or more: 3 were given"):
        t_sne(np.ones((3, 4), np.float32))
    for method in (pca, t_sne):
        with pytest.raises(ConfigError, match="not finite"):
            method(np.array([[1.0], [np.nan], [2.0], [3.0]], np.float32))


def test_t_sne_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ConfigError, match=r"needs sklearn.manifold: .* \[train\] extra"):
        t_sne(_clusters(each=2, distance=1.0))


def test_features_are_averages_of_maps_or_flat() -> None:
    network = small_network().eval()
    with torch.no_grad():
        maps, flat = network[:6](image()), network(image())
    found = layer_features(network, "5", image())
    assert (found.shape, found.dtype) == ((10,), np.float32)
    np.testing.assert_allclose(found, maps[0].mean((1, 2)).numpy(), atol=1e-6)
    np.testing.assert_allclose(layer_features(network, "13", image()), flat[0].numpy(), atol=1e-6)


def test_features_leave_the_network_as_before() -> None:
    network, seen = small_network(in_place=True), image()
    with unchanged(network):
        layer_features(network, "5", seen)
    assert torch.equal(seen, image())
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        layer_features(network, "5", image())
    with pytest.raises(ConfigError, match="layer = 'conv' is not in the network"):
        layer_features(network, "conv", image())
    rows = torch.nn.Sequential(torch.nn.Flatten(2))
    with pytest.raises(ConfigError, match=r"layer 0 answers with shape \(1, 3, 4096\)"):
        layer_features(rows, "0", image())
