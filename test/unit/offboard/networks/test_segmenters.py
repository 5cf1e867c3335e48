"""Segmentation networks by name: answers, starting weights, staged training, heads."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torchvision import models  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.networks.segmenters import (  # noqa: E402
    SEGMENTERS,
    TorchvisionSegmenter,
    design_segmenter,
)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_networks_answer_with_logits(name: str) -> None:
    design = design_segmenter({"name": name, "image_width": 64, "image_height": 96})
    assert design.size == (64, 96)
    with torch.device("meta"):
        network = design.build(5).eval()
        logits = network(torch.empty(2, 3, 96, 64))
    enlarged = 4 if name == "fcn_mobilenet_v2" else 1
    assert logits.shape == (2, 5, 96 // enlarged, 64 // enlarged)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_the_head_is_what_depends_on_the_labels(name: str) -> None:
    design = design_segmenter({"name": name})
    with torch.device("meta"):
        few, many = design.build(2), design.build(9)
    head = {id(p) for layer in design.head(few) for p in layer.parameters()}
    last = {id(p) for layer in design.last_layers(few) for p in layer.parameters()}
    others = dict(many.named_parameters())
    differing = {id(p) for name, p in few.named_parameters() if p.shape != others[name].shape}
    assert head == differing
    assert head < last
    assert len(last) < len(list(few.parameters()))


def test_torchvisions_answers() -> None:
    torch.manual_seed(0)
    model = models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3, aux_loss=True
    ).eval()
    network = TorchvisionSegmenter(model).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = model(images)
        logits, auxiliary = network.with_auxiliary(images)
        torch.testing.assert_close(network(images), wanted["out"])
    torch.testing.assert_close(logits, wanted["out"])
    torch.testing.assert_close(auxiliary, wanted["aux"])
    assert network.state_dict().keys() == model.state_dict().keys()


def test_networks_without_auxiliary_head() -> None:
    images = torch.randn(1, 3, 64, 64)
    for section in (
        {"name": "lraspp_mobilenet_v3_large"},
        {"name": "deeplabv3_mobilenet_v3_large", "auxiliary": False},
    ):
        network = design_segmenter(section).build(3).eval()
        with torch.no_grad():
            logits, auxiliary = network.with_auxiliary(images)
        assert logits.shape == (1, 3, 64, 64) and auxiliary is None


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_trunks_start_from_a_classifier(name: str, tmp_path: Path) -> None:
    trunk = models.mobilenet_v3_large()
    torch.save(trunk.state_dict(), tmp_path / "v3.pth")
    network = design_segmenter({"name": name, "weights": str(tmp_path / "v3.pth")}).build(3)
    torch.testing.assert_close(network.backbone["16"][0].weight, trunk.features[16][0].weight)


def test_networks_start_from_torchvisions(tmp_path: Path) -> None:
    other = models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21
    )
    torch.save(other.state_dict(), tmp_path / "voc.pth")
    section = {"name": "lraspp_mobilenet_v3_large", "weights": str(tmp_path / "voc.pth")}
    same, fewer = design_segmenter(section).build(21), design_segmenter(section).build(3)
    theirs = other.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in same.state_dict().items())
    assert torch.equal(fewer.classifier.cbr[0].weight, other.classifier.cbr[0].weight)


def test_wrong_sections() -> None:
    with pytest.raises(ConfigError, match="choose one of fcn32s_vgg16"):
        design_segmenter({"name": "unet"})
    with pytest.raises(ConfigError, match="did you mean image_width"):
        design_segmenter({"name": "fcn_resnet50", "image_widht": 3})
