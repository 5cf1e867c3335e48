"""torchvision's networks with weights from a file that it would have downloaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torchvision.models import get_model_weights  # noqa: E402

from cnn_perception.errors import ModelError  # noqa: E402
from cnn_perception.offboard.pretrained.bundles import class_names  # noqa: E402
from cnn_perception.offboard.pretrained.catalog import read_catalog  # noqa: E402
from cnn_perception.offboard.pretrained.weights import load_network  # noqa: E402
from random_weights import published_state, write_random_weights  # noqa: E402

CATALOG = {name: network for name, network in read_catalog().items() if network.weights}


@pytest.mark.parametrize("name", CATALOG)
def test_every_network_takes_its_weights(name: str, tmp_path: Path) -> None:
    """Without values: names and shapes are those of torchvision's published file."""
    with torch.device("meta"):
        torch.save(published_state(name), tmp_path / "weights.pth")
        network = load_network(CATALOG[name], tmp_path / "weights.pth")
    assert not network.training
    weights = get_model_weights(name)[CATALOG[name].weights]
    count = sum(parameter.numel() for parameter in network.parameters())
    # Frozen normalisations are no parameters, auxiliary heads are dropped from classifiers.
    assert count == pytest.approx(weights.meta["num_params"], rel=0.02)
    labels = class_names(weights.meta["categories"], CATALOG[name].task)
    assert (
        len(labels)
        == len(set(labels))
        == {"detection": 90, "segmentation": 21}.get(CATALOG[name].task, 1000)
    )


def test_values_arrive(tmp_path: Path) -> None:
    file = tmp_path / "renamed.pth"
    write_random_weights("squeezenet1_1", file)
    hub = torch.hub.get_dir()
    network = load_network(CATALOG["squeezenet1_1"], file)
    for name, value in torch.load(file, weights_only=True).items():
        assert torch.equal(network.state_dict()[name], value)
    assert torch.hub.get_dir() == hub


def test_detectors_use_what_torchvision_knows_of_its_weights(tmp_path: Path) -> None:
    with torch.device("meta"):
        torch.save(published_state("retinanet_resnet50_fpn"), tmp_path / "w.pth")
        network = load_network(CATALOG["retinanet_resnet50_fpn"], tmp_path / "w.pth")
    assert network.backbone.body.bn1.eps == 0.0


@pytest.mark.parametrize("content", ["other", "cut", "text"])
def test_files_that_do_not_fit(tmp_path: Path, content: str) -> None:
    file = tmp_path / "weights.pth"
    write_random_weights("squeezenet1_1", file)
    if content == "cut":
        file.write_bytes(file.read_bytes()[:100_000])
    elif content == "text":
        file.write_text("not found")
    name = "squeezenet1_0" if content == "other" else "squeezenet1_1"
    with pytest.raises(ModelError, match=rf"weights\.pth does not hold {name}'s weights") as caught:
        load_network(CATALOG[name], file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"name": "resnet19"}, {"weights": "IMAGENET1K_V9"}])
def test_weights_that_torchvision_does_not_know(change: dict[str, str], tmp_path: Path) -> None:
    published = replace(CATALOG["resnet18"], **change)
    with pytest.raises(ModelError, match=r"torchvision .* knows no weights IMAGENET1K_V"):
        load_network(published, tmp_path / "weights.pth")


def test_labels_of_coco() -> None:
    network = CATALOG["ssd300_vgg16"]
    categories = get_model_weights("ssd300_vgg16")[network.weights].meta["categories"]
    labels = class_names(categories, network.task)
    assert (labels[0], labels[11], labels[61]) == ("person", "unused-12", "chair")
