"""Detectors by name: sizes, starting weights, the layers that transfer learning trains."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402
from torchvision import models  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.networks.detectors import DETECTORS, design_detector  # noqa: E402
from cnn_perception.offboard.networks.ssd import vgg16_trunk  # noqa: E402

BOXES = {"scales": [0.1, 0.3, 0.5, 0.9], "aspect_ratios": [[2], [2, 3], [2]]}
PYRAMID = {
    "name": "ssdlite_fpn_mobilenet_v2",
    "image_width": 128,
    "image_height": 96,
    "default_boxes": BOXES,
}


def section(name: str) -> dict[str, object]:
    return PYRAMID if name == PYRAMID["name"] else {"name": name}


@pytest.mark.parametrize("name", DETECTORS)
def test_designs_know_what_is_built(name: str) -> None:
    design = pickle.loads(pickle.dumps(design_detector(section(name))))
    width, height = design.size
    with torch.device("meta"):
        network = design.build(7).eval()
        outputs = network(torch.empty(2, 3, height, width))
    assert outputs.class_logits.shape == (2, design.default_boxes.count, 8)
    assert outputs.box_deltas.shape == (2, design.default_boxes.count, 4)
    if hasattr(network, "mean"):
        assert (network.mean, network.std) == design.normalisation


@pytest.mark.parametrize("name", DETECTORS)
def test_the_head_is_what_depends_on_the_classes(name: str) -> None:
    design = design_detector(section(name))
    with torch.device("meta"):
        few, many = design.build(2), design.build(9)
    head = {id(p) for layer in design.head(few) for p in layer.parameters()}
    last = {id(p) for layer in design.last_layers(few) for p in layer.parameters()}
    others = dict(many.named_parameters())
    for key, parameter in few.named_parameters():
        if parameter.shape != others[key].shape:
            assert id(parameter) in head, key
    assert head < last
    assert len(last) < len(list(few.parameters()))


def test_trunks_start_from_a_classifier(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trunk = models.mobilenet_v3_large()
    torch.save(trunk.state_dict(), tmp_path / "v3.pth")
    options = {
        "name": "ssdlite320_mobilenet_v3_large",
        "weights": str(tmp_path / "v3.pth"),
        "reduced_tail": False,
    }
    network = design_detector(options).build(3)
    torch.testing.assert_close(
        network.backbone.features[0][0][0].weight, trunk.features[0][0].weight
    )
    # Not the narrow block of detectors that are trained from nothing.
    torch.testing.assert_close(
        network.backbone.features[1][-1][0].weight, trunk.features[16][0].weight
    )
    # In the narrow ones the widths differ, and they stay as they were.
    narrow = design_detector({**options, "reduced_tail": True}).build(3)
    assert narrow.backbone.features[1][-1][0].weight.shape[0] == 480
    v2 = models.mobilenet_v2()
    torch.save(v2.state_dict(), tmp_path / "v2.pth")
    pyramid = design_detector({**PYRAMID, "weights": str(tmp_path / "v2.pth")}).build(3)
    torch.testing.assert_close(
        pyramid.trunk.features[17].conv[2].weight, v2.features[17].conv[2].weight
    )


@pytest.mark.parametrize(
    ("name", "trunk", "place"),
    [
        ("ssd300_resnet50", models.resnet50, ("layer3.5.conv3", "features.layer3.5.conv3")),
        ("ssdlite320_mobilenet_v2", models.mobilenet_v2, ("features.18.0", "features.1.4.0")),
    ],
)
def test_all_of_a_trunk_is_loaded(
    name: str, trunk: Callable[[], nn.Module], place: tuple[str, str], tmp_path: Path
) -> None:
    source = trunk()
    torch.save(source.state_dict(), tmp_path / "trunk.pth")
    network = design_detector({"name": name, "weights": str(tmp_path / "trunk.pth")}).build(3)
    found = network.backbone.get_submodule(place[1]).weight
    torch.testing.assert_close(found, source.get_submodule(place[0]).weight)


def test_vgg16_starts_from_features_without_a_classifier(tmp_path: Path) -> None:
    features = vgg16_trunk().state_dict()
    assert len(features) == 26
    nan = {"classifier.0.weight": torch.full((2, 2), torch.nan)}
    torch.save({**features, **nan}, tmp_path / "vgg.pth")
    section = {"name": "ssd300_vgg16", "weights": str(tmp_path / "vgg.pth")}
    network = design_detector(section).build(3)
    torch.testing.assert_close(network.backbone.features[21].weight, features["features.21.weight"])
    torch.testing.assert_close(network.backbone.extra[0][5].weight, features["features.28.weight"])


def test_detectors_start_from_a_detector(tmp_path: Path) -> None:
    name = "ssdlite320_mobilenet_v3_large"
    other = models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=11
    )
    torch.save(other.state_dict(), tmp_path / "coco.pth")
    network = design_detector({"name": name, "weights": str(tmp_path / "coco.pth")}).build(3)
    state, theirs = network.state_dict(), other.state_dict()
    assert state.keys() == theirs.keys()
    differing = [key for key in state if state[key].shape != theirs[key].shape]
    assert differing and all("classification_head" in key for key in differing)
    assert all(torch.equal(state[key], theirs[key]) for key in state.keys() - set(differing))


def test_published_detectors_with_other_boxes() -> None:
    scales = [0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05]
    design = design_detector({"name": "ssd300_vgg16", "scales": scales})
    with torch.device("meta"):
        network = design.build(20)
    assert design.default_boxes.scales == network.default_boxes.scales == tuple(scales)
    assert design.default_boxes.count == 8732
    with pytest.raises(ConfigError, match="scales has length 2: 6 feature maps need 7"):
        design_detector({"name": "ssd300_vgg16", "scales": [0.1, 0.9]})


def test_wrong_sections() -> None:
    with pytest.raises(ConfigError, match="scales in default_boxes"):
        design_detector({**PYRAMID, "scales": [0.1, 0.9]})
    with pytest.raises(ConfigError, match="choose one of ssd300_resnet50, ssd300_vgg16"):
        design_detector({"name": "ssd512"})
    with pytest.raises(ConfigError, match="without default_boxes, image_width: delete"):
        design_detector({"name": "ssd300_vgg16", "image_width": 512, "default_boxes": BOXES})
    with pytest.raises(ConfigError, match="did you mean weights"):
        design_detector({"name": "ssd300_vgg16", "weight": "none"})
    with pytest.raises(ConfigError, match="needs default_boxes"):
        design_detector({"name": PYRAMID["name"]})
    with pytest.raises(ConfigError, match="multiples of 32"):
        design_detector({**PYRAMID, "image_width": 100})
    with pytest.raises(ConfigError, match=r"default_boxes\.aspect_ratios is missing"):
        design_detector({**PYRAMID, "default_boxes": {"scales": [0.1]}})
    with pytest.raises(ConfigError, match=r"default_boxes\.scales\[0\] = 'a': give a number"):
        design_detector({**PYRAMID, "default_boxes": {"scales": ["a"], "aspect_ratios": []}})
