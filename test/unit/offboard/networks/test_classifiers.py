"""Classifiers by name: a new head on any of torchvision's, and LeNet-5."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torchvision import models  # noqa: E402

from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.offboard.networks.classifiers import CLASSIFIERS, design_classifier  # noqa: E402
from cnn_perception.offboard.networks.counts import count_parameters  # noqa: E402
from cnn_perception.offboard.networks.lenet import LeNet5  # noqa: E402

FAMILIES = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "lenet5",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vgg11",
    "vit_b_32",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_new_head_and_last_layers(name: str) -> None:
    design = design_classifier({"name": name})
    with torch.device("meta"):
        network = design.build(7)
        (head,) = design.head(network)
    assert head.weight.shape[0] == 7
    last = {id(p) for layer in design.last_layers(network) for p in layer.parameters()}
    everything = list(network.parameters())
    assert {id(p) for p in head.parameters()} < last
    assert len(last) < 0.5 * len(everything)
    assert network.training


def test_every_name_has_a_published_size() -> None:
    assert len(CLASSIFIERS) > 80
    sizes = {name: design_classifier({"name": name}).size for name in CLASSIFIERS}
    assert sizes["lenet5"] == (32, 32)
    assert sizes["resnet50"] == (224, 224)
    assert sizes["inception_v3"] == (299, 299)
    assert design_classifier({"name": "efficientnet_v2_l"}).normalisation.mean == (127.5,) * 3


@pytest.mark.parametrize("name", ["vit_b_32", "maxvit_t", "resnet18"])
def test_other_sizes(name: str) -> None:
    section = {"name": name, "image_width": 448, "image_height": 448}
    design = design_classifier(section)
    with torch.device("meta"):
        assert design.build(3).eval()(torch.empty(1, 3, 448, 448)).shape == (1, 3)


def test_sizes_that_a_network_cannot_take() -> None:
    with pytest.raises(ConfigError, match="alexnet cannot take images of 32x32"):
        design_classifier({"name": "alexnet", "image_width": 32, "image_height": 32}).build(2)
    with pytest.raises(ConfigError, match="square"):
        design_classifier({"name": "vit_b_16", "image_width": 320}).build(2)


def test_weights_fit_but_for_the_head(tmp_path: Path) -> None:
    other = models.shufflenet_v2_x0_5()
    torch.save(other.state_dict(), tmp_path / "x.pth")
    section = {"name": "shufflenet_v2_x0_5", "weights": str(tmp_path / "x.pth")}
    network = design_classifier(section).build(4)
    theirs = other.state_dict()
    for name, value in network.state_dict().items():
        assert name.startswith("fc.") or torch.equal(value, theirs[name]), name
    with pytest.raises(ModelError, match="nothing in it fits lenet5"):
        design_classifier({"name": "lenet5", "weights": str(tmp_path / "x.pth")}).build(4)
    with pytest.raises(ConfigError, match="lenet5 has no weights"):
        design_classifier({"name": "lenet5", "weights": "imagenet"})


def test_lenet5_has_the_known_parameters() -> None:
    # C1 156, C3 2,416 with every map of S2, C5 48,120, F6 10,164, ten classes 850.
    network = LeNet5(10)
    assert count_parameters(network) == 156 + 2_416 + 48_120 + 10_164 + 850 == 61_706
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))
