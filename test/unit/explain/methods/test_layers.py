"""Layers by name, and the one that is explained when none is named."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402
from torchvision.models import get_model  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.explain.methods.layers import (  # noqa: E402
    check_layer,
    convolutions,
    last_map_layer,
)
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402


def test_an_unknown_layer_gets_the_names_that_there_are_the_near_ones_first() -> None:
    network = nn.ModuleDict({f"block{k}": nn.Conv2d(3, 3, 1) for k in range(20)})
    with pytest.raises(ConfigError) as caught:
        check_layer(network, "blok19")
    text = str(caught.value)
    assert "\n" not in text and "'blok19'" in text
    assert text.index("block19") < text.index("block18")
    assert text.endswith("or one of 8 more convolutions")
    check_layer(network, "block19")


def test_convolutions_are_listed_from_the_image_on() -> None:
    assert convolutions(small_network()) == ["0", "4", "8"]


def test_the_root_is_no_layer() -> None:
    with pytest.raises(ConfigError, match=r"choose one, as 8, 4, 0$"):
        check_layer(small_network(), "")


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"),
        ("mobilenet_v3_small", "features"),
        ("squeezenet1_1", "classifier.2"),
    ],
)
def test_the_last_maps_of_known_networks(name: str, layer: str) -> None:
    network = get_model(name, weights=None, num_classes=3)
    assert last_map_layer(network, torch.zeros(1, 3, 64, 64)) == layer


def test_pooled_maps_are_not_the_last_ones() -> None:
    assert last_map_layer(small_network(pooled=False), image()) == "9"


def test_looking_for_the_last_maps_changes_nothing() -> None:
    network = small_network()
    with unchanged(network):
        assert last_map_layer(network, image()) == "9"
    network[10] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        last_map_layer(network, image())


def test_a_network_that_ends_in_maps_has_no_last_ones() -> None:
    with pytest.raises(ConfigError, match="name a layer, as 0, 4, 8"):
        last_map_layer(small_network()[:9], image())
