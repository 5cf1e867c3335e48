"""Occlusion against captum, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
captum_attr = pytest.importorskip("captum.attr", reason="captum is an extra: [oracle]")

from torch import nn  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.occlusion import occlusion  # noqa: E402
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402


@pytest.mark.parametrize(
    ("window", "stride", "baseline", "batch"),
    [(16, 16, 0.0, 3), (20, 11, 0.0, 16), (20, 7, 0.5, 5)],
)
def test_as_captum(window: int, stride: int, baseline: float, batch: int) -> None:
    network = small_network(pooled=False).eval()
    with torch.no_grad():
        expected = captum_attr.Occlusion(network).attribute(
            image(), (3, window, window), (3, stride, stride), baseline, target=3
        )
    found = occlusion(
        *(network, image(), class_target(3)),
        window=window,
        stride=stride,
        baseline=baseline,
        batch=batch,
    )
    assert found.dtype == np.float32
    for channel in expected[0].numpy():
        np.testing.assert_allclose(found, channel, atol=1e-5 * np.abs(channel).max())


def test_by_hand() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.zeros(1, 3, 8, 8)
    images[0, 1, 2, 5] = 64.0  # the second logit is its mean over 64 pixels
    found = occlusion(network, images, class_target(1), window=4, stride=4)
    expected = np.zeros((8, 8))
    expected[:4, 4:] = 1.0
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("window", "stride"), [(4, 0), (4, 5), (65, 4), (0, 0)])
def test_sizes_without_sense(window: int, stride: int) -> None:
    with pytest.raises(ConfigError, match=f"window = {window}, stride = {stride}"):
        occlusion(small_network(), image(), class_target(0), window=window, stride=stride)


def test_the_network_and_the_image_are_as_before() -> None:
    network, seen = small_network(in_place=True), image()
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network):
        occlusion(network, seen, class_target(0), window=32, stride=32)
    assert torch.equal(seen, image())
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        occlusion(network, seen, class_target(0))
