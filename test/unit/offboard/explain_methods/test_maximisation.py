"""Activation maximisation: a linear filter is what it answers to most, and other targets grow."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.features import features  # noqa: E402
from cnn_perception.offboard.explain_methods.image_optimisation import (  # noqa: E402
    ImageOptimisationConfig,
    noise,
)
from cnn_perception.offboard.explain_methods.maximisation import (  # noqa: E402
    MAXIMISATION,
    channel_target,
    maximise,
)
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402

QUICK = ImageOptimisationConfig(steps=5, jitter=2, blur=0.5)


def test_a_linear_filter_is_most_excited_by_its_own_direction() -> None:
    # <w, x> / (sqrt(n) |w|) - d mean(x^2) is greatest at x = sqrt(n) w / (2 d |w|).
    filters = nn.Conv2d(3, 4, 5, bias=False)
    config = ImageOptimisationConfig(steps=200, tv=0.0, decay=0.5)
    found = maximise(filters, channel_target(2), noise((5, 5)), config).image
    weight = filters.weight[2:3].detach()
    expected = math.sqrt(weight.numel()) * weight / weight.norm()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    # Within limits, and without decay, it is black and white.
    limits = (torch.full((3, 1, 1), -2.0), torch.full((3, 1, 1), 1.0))
    config = ImageOptimisationConfig(steps=100, tv=0.0)
    found = maximise(filters, channel_target(2), noise((5, 5)), config, limits=limits).image
    torch.testing.assert_close(found, torch.where(expected > 0, 1.0, -2.0), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("layer", "channel"), [("5", 7), ("12", 3), ("", 4)])
def test_channels_units_and_classes_grow(layer: str, channel: int) -> None:
    network = small_network()
    target = channel_target(channel) if layer else class_target(channel)
    config = replace(MAXIMISATION, steps=80, jitter=0)
    found = maximise(network, target, noise((64, 64)), config, layer=layer)
    network.eval()

    def value(x: Tensor) -> float:
        with torch.no_grad():
            return float(target(features(network, [layer], x)[0] if layer else network(x)))

    assert value(found.image) > value(image()) + abs(value(image()))
    losses = found.losses["target"]
    grown = value(found.image) / value(noise((64, 64)))
    assert losses[-1] / losses[0] == pytest.approx(grown, rel=1e-3)


def test_a_target_of_a_layer_by_hand() -> None:
    maps = torch.arange(16.0).view(1, 2, 2, 4)
    assert channel_target(1)(maps).tolist() == [11.5]
    assert channel_target(2)(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).tolist() == [3, 6]
    with pytest.raises(ConfigError, match="target = 2 is no channel of the layer: give one of 0 t"):
        channel_target(2)(maps)
    with pytest.raises(ConfigError, match="with neither maps nor units"):
        channel_target(0)(torch.zeros(2))


def test_a_class_of_masks_grows_where_it_is_nowhere_yet() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()
    network[2].bias.data = torch.tensor([9.0, 0.0, 0.0])
    start = noise((16, 16))
    assert float(class_target(1)(network(start)).detach()) == 0
    found = maximise(network, class_target(1, everywhere=True), start, QUICK).image
    assert network(found)[0, 1].mean() > network(start)[0, 1].mean()
    with pytest.raises(ConfigError, match="does not change with the image that it begins with"):
        maximise(network, class_target(1), start, QUICK)


def test_it_starts_from_a_picture_where_one_is_given() -> None:
    config = ImageOptimisationConfig(steps=1, rate=1e-4, tv=0.0)
    found = maximise(small_network(), class_target(0), image(), config).image
    torch.testing.assert_close(found, image(), atol=2e-4, rtol=0)
    assert not torch.equal(found, image())


def test_equal_seeds_give_equal_images() -> None:
    network = small_network()

    def find(seed: int) -> Tensor:
        config = ImageOptimisationConfig(steps=5, jitter=8, seed=seed)
        return maximise(network, class_target(0), image(), config).image

    assert torch.equal(find(3), find(3)) and not torch.equal(find(3), find(4))


def test_the_network_and_the_image_are_as_before() -> None:
    network, seen = small_network(in_place=True), image()
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network):
        maximise(network, class_target(0), seen, QUICK)
        maximise(network, channel_target(0), seen, QUICK, layer="5")
    assert torch.equal(seen, image())
    with unchanged(network), pytest.raises(ConfigError, match="target = 5 is no class"):
        maximise(network, class_target(5), seen, QUICK)
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        maximise(network, class_target(0), seen, QUICK)
