"""Published names of layers, against the architectures in the papers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torchvision.models import get_model  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.layers import find_layer, published_names  # noqa: E402
from looked_into import small_network  # noqa: E402


def test_vgg_has_the_blocks_of_the_paper() -> None:
    with torch.device("meta"):
        network = get_model("vgg16", weights=None)
    names = published_names(network)
    widths = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
    counts = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    for block, count in counts.items():
        for number in range(1, count + 1):
            conv = network.get_submodule(names[f"conv{block}_{number}"])
            assert conv.out_channels == widths[block]
            relu = network.get_submodule(names[f"relu{block}_{number}"])
            assert isinstance(relu, torch.nn.ReLU)
        assert f"conv{block}_{count + 1}" not in names
    assert names["conv3_1"] == "features.10" and names["relu3_1"] == "features.11"
    assert (names["pool5"], names["fc6"], names["fc8"]) == (
        "features.30",
        "classifier.0",
        "classifier.6",
    )
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(
    ("network", "name", "dotted"),
    [
        ("vgg16_bn", "conv3_1", "features.14"),
        ("vgg16_bn", "relu3_1", "features.16"),
        ("vgg19", "conv5_4", "features.34"),
        ("alexnet", "conv5", "features.10"),
        ("alexnet", "pool2", "features.5"),
        ("alexnet", "fc7", "classifier.4"),
        ("resnet18", "conv2_1", "layer1.0"),
        ("resnet18", "conv5_x", "layer4"),
        ("resnet50", "conv4_6", "layer3.5"),
        ("resnet18", "conv1", "conv1"),
        ("mobilenet_v2", "features.1", "features.1"),
    ],
)
def test_layers_are_found_by_published_and_by_dotted_names(
    network: str, name: str, dotted: str
) -> None:
    with torch.device("meta"):
        built = get_model(network, weights=None)
    assert find_layer(built, name) == dotted


def test_published_names_are_listed_for_an_unknown_one() -> None:
    with torch.device("meta"):
        network = get_model("vgg16", weights=None)
    with pytest.raises(ConfigError) as caught:
        find_layer(network, "conv3_4")
    text = str(caught.value)
    assert text.startswith("layer = 'conv3_4' is not in the network: choose one, as conv3_")
    assert "conv5_3" in text and "features" not in text and "\n" not in text


def test_other_networks_have_none() -> None:
    assert published_names(small_network()) == {}
