"""Feature inversion: images that are known from their features, and networks left as they were."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torchvision.models.vgg import cfgs, make_layers  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.features import features, relative_distance  # noqa: E402
from cnn_perception.offboard.explain_methods.image_optimisation import ImageOptimisationConfig  # noqa: E402
from cnn_perception.offboard.explain_methods.inversion import invert  # noqa: E402
from cnn_perception.offboard.explain_methods.network import randomise  # noqa: E402
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402

QUICK = ImageOptimisationConfig(steps=8)


def test_an_invertible_linear_layer_gives_the_image_back() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Flatten())
    network[0].weight.data = torch.linalg.qr(image(size=3)[0, 0])[0].view(3, 3, 1, 1)
    seen = image(size=8)
    found = invert(network, ["0"], seen, ImageOptimisationConfig(steps=200, tv=0.0))
    torch.testing.assert_close(found.image, seen, atol=1e-3, rtol=0)


def test_what_a_layer_drops_is_not_found_again() -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
    seen = image(size=8)
    found = invert(network, ["0"], seen, ImageOptimisationConfig(steps=200, tv=0.0))
    torch.testing.assert_close(network[0](found.image), network[0](seen), atol=1e-3, rtol=0)
    assert float((found.image - seen).square().mean()) > 0.5


def test_the_loss_falls_a_hundredfold_at_the_first_layer_of_vgg() -> None:
    network = make_layers(cfgs["A"])
    randomise(network, torch.Size((1, 3, 32, 32)))
    smooth = functional.interpolate(image(size=4), size=(32, 32), mode="bicubic")
    losses = invert(network, ["0"], smooth, ImageOptimisationConfig(steps=80)).losses["features"]
    assert losses[0] > 100 * losses[-1]


def test_a_black_image_is_found() -> None:
    black = torch.full((1, 3, 64, 64), -2.0)
    limits = (torch.full((3, 1, 1), -2.0), torch.full((3, 1, 1), 2.0))
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    found = invert(network, ["0"], black, ImageOptimisationConfig(steps=150), limits=limits)
    torch.testing.assert_close(found.image, black, atol=0.02, rtol=0)


def test_features_that_are_all_zero_count_as_of_norm_one() -> None:
    zero, two = torch.zeros(1, 2), torch.full((1, 2), 2.0)
    assert float(relative_distance([two], [zero])) == 8
    assert float(relative_distance([two, two], [zero, 2 * two])) == (8 + 0.25) / 2


def test_several_layers_are_inverted_together() -> None:
    network = small_network(in_place=True)
    both = invert(network, ["1", "5"], image(), QUICK).losses["features"]
    first, second = (invert(network, [x], image(), QUICK).losses["features"] for x in ("1", "5"))
    assert both[0] == pytest.approx((first[0] + second[0]) / 2, rel=1e-5)


def test_features_are_those_before_the_next_layer_works_in_place() -> None:
    network = small_network(in_place=True).eval()
    found = features(network, ["5", "1", "5"], image())
    expected = network[:6](image()), network[:2](image())
    assert float(found[0].detach().min()) < 0
    for one, other in zip(found, (*expected, expected[0]), strict=True):
        torch.testing.assert_close(one, other)


def test_a_network_runs_no_further_than_needed() -> None:
    network = small_network()
    network[7] = Breaking()
    features(network, ["6", "0"], image())
    with pytest.raises(Broken):
        features(network, ["6", "8"], image())


def test_equal_seeds_give_equal_images() -> None:
    network = small_network()
    one, again, other = (
        invert(network, ["4"], image(), ImageOptimisationConfig(steps=5, seed=seed)).image
        for seed in (3, 3, 4)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_the_network_and_the_image_are_as_before() -> None:
    network, seen = small_network(in_place=True), image()
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network), torch.no_grad():
        invert(network, ["5"], seen, QUICK)
    assert torch.equal(seen, image())
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        invert(network, ["8"], seen, QUICK)


def test_a_layer_that_cannot_be_inverted_is_said() -> None:
    network = small_network()
    with pytest.raises(ConfigError, match="layer = 'conv9' is not in the network: choose one, as"):
        invert(network, ["conv9"], image(), QUICK)
    network.add_module("idle", nn.Sequential(nn.Identity()))
    network.forward = lambda x: network[:4](x)  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="layer idle has no part in the answer"):
        invert(network, ["1", "idle"], image(), QUICK)
