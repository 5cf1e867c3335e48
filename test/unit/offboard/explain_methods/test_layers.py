"""Layers by name, and the one that is explained when none is named."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402
from torchvision.models import get_model  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.layers import (  # noqa: E402
    check_layer,
    convolutions,
    last_map_layer,
)
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from cnn_perception.offboard.networks.ssdlite import SsdOutputs  # noqa: E402
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
    assert last_map_layer(network, torch.zeros(1, 3, 64, 64), class_target(0)) == layer


def test_pooled_maps_are_not_the_last_ones() -> None:
    assert last_map_layer(small_network(pooled=False), image(), class_target(0)) == "9"


def test_channels_that_come_last_are_no_maps() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), Last(), nn.LayerNorm(6), nn.Flatten()),
        nn.Linear(6 * 14 * 14, 2),
    )
    assert last_map_layer(network, image(size=16), class_target(0)) == "1"


def test_looking_for_the_last_maps_changes_nothing() -> None:
    network = small_network()
    with unchanged(network):
        assert last_map_layer(network, image(), class_target(0)) == "9"
    network[10] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        last_map_layer(network, image(), class_target(0))


def test_of_a_network_that_ends_in_maps_it_is_what_the_last_convolution_reads() -> None:
    network = small_network()[:9]
    with unchanged(network):
        assert last_map_layer(network, image(), class_target(1)) == "7"
    with pytest.raises(ConfigError, match="no last feature maps: name a layer, as 0"):
        last_map_layer(network[:1], image(), class_target(1))


class Levels(nn.Module):
    """A detector with two levels of 16 boxes and one box, and another way to read each level."""

    def __init__(self, surest: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(True), nn.AvgPool2d(2))
        self.extra = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(True), nn.AvgPool2d(4))
        self.heads = nn.ModuleList(nn.Conv2d(4, 3, 1) for _ in range(2))
        self.offsets = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(2))
        with torch.no_grad():
            self.heads[surest].bias[1] += 50

    def forward(self, images: Tensor) -> SsdOutputs:
        maps = [self.trunk(images)]
        maps.append(self.extra(maps[0]))
        logits = [head(x).flatten(2).mT for head, x in zip(self.heads, maps, strict=True)]
        deltas = [offset(x).flatten(2).mT for offset, x in zip(self.offsets, maps, strict=True)]
        return SsdOutputs(torch.cat(logits, 1), torch.cat(deltas, 1), ())


@pytest.mark.parametrize(("surest", "layer"), [(0, "trunk"), (1, "extra.1")])
def test_of_a_detector_it_is_what_the_head_of_the_best_box_reads(surest: int, layer: str) -> None:
    # The maps of the second level have one pixel, of which no picture can be made.
    torch.manual_seed(3)
    assert last_map_layer(Levels(surest), image(size=16), class_target(0)) == layer
