"""The published SSD networks: boxes, answers and weights of torchvision's, training and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402
from torchvision import models  # noqa: E402
from torchvision.models import detection  # noqa: E402
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator  # noqa: E402
from torchvision.models.detection.image_list import ImageList  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.formats.default_boxes import DefaultBoxSpec, default_boxes  # noqa: E402
from cnn_perception.formats.ssd_raw import decode_boxes  # noqa: E402
from cnn_perception.offboard.export.onnx_file import check_onnx, write_onnx  # noqa: E402
from cnn_perception.offboard.networks.fold import folded  # noqa: E402
from cnn_perception.offboard.networks.ssd import (  # noqa: E402
    SSD300_BOXES,
    SSDLITE320_BOXES,
    Ssd,
    from_torchvision,
    ssd300_resnet50,
    ssd300_vgg16,
    ssdlite320_mobilenet_v2,
    ssdlite320_mobilenet_v3_large,
)
from cnn_perception.offboard.training.losses import multibox_loss  # noqa: E402
from cnn_perception.offboard.training.matching import Matcher  # noqa: E402

NETWORKS = (ssd300_resnet50, ssd300_vgg16, ssdlite320_mobilenet_v2, ssdlite320_mobilenet_v3_large)


def lively(network: Ssd) -> Ssd:
    """Initialise a network so that its answers are of ordinary size, and differ between boxes.

    torchvision's random SSDLite answers with 1e-19, where every comparison holds.
    """
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.randn(2, 3, *size_of(network)))
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # A map of one cell gives two values, by chance nearly equal ones: dividing by their
                # variance would amplify the rounding of every layer before.
                layer.running_var.clamp_(min=1.0)
    return network.eval()


def size_of(network: Ssd) -> tuple[int, int]:
    assert network.default_boxes.image_size is not None
    return network.default_boxes.image_size


def torchvisions_boxes(generator: DefaultBoxGenerator, spec: DefaultBoxSpec) -> Tensor:
    """Corners in pixels."""
    size = spec.image_size
    assert size is not None
    images = ImageList(torch.zeros(1, 3, *size), [size])
    (boxes,) = generator(images, [torch.zeros(1, 1, *cells) for cells in spec.feature_maps])
    return boxes


@pytest.mark.parametrize(
    ("build", "spec", "count"),
    [
        (detection.ssd300_vgg16, SSD300_BOXES, 8732),
        (detection.ssdlite320_mobilenet_v3_large, SSDLITE320_BOXES, 3234),
    ],
)
def test_default_boxes_are_torchvisions(
    build: Callable[..., detection.ssd.SSD], spec: DefaultBoxSpec, count: int
) -> None:
    with torch.device("meta"):
        generator = build(weights=None, weights_backbone=None).anchor_generator
    generator._wh_pairs = generator._generate_wh_pairs(6)
    wanted = torchvisions_boxes(generator, spec).numpy()
    ours = default_boxes(spec)
    height, width = spec.image_size or (0, 0)
    corners = np.hstack([ours[:, :2] - ours[:, 2:] / 2, ours[:, :2] + ours[:, 2:] / 2])
    assert ours.shape == (count, 4)
    np.testing.assert_allclose(corners, wanted / (width, height, width, height), atol=1e-6, rtol=0)


@pytest.mark.parametrize("build", NETWORKS)
def test_answers_fit_the_default_boxes(build: Callable[[int], Ssd]) -> None:
    with torch.device("meta"):
        network = build(20).eval()
        outputs = network(torch.empty(2, 3, *size_of(network)))
    spec = network.default_boxes
    assert outputs.class_logits.shape == (2, spec.count, 21)
    assert outputs.box_deltas.shape == (2, spec.count, 4)
    assert tuple(tuple(x.shape[2:]) for x in outputs.features) == spec.feature_maps


def test_conv4_of_resnet_keeps_its_resolution() -> None:
    with torch.device("meta"):
        outputs = ssd300_resnet50(80).eval()(torch.empty(1, 3, 300, 300))
    assert outputs.features[0].shape == (1, 1024, 38, 38)
    assert [x.shape[1] for x in outputs.features] == [1024, 512, 512, 256, 256, 256]


@pytest.mark.parametrize(
    ("build", "ours"),
    [
        (detection.ssd300_vgg16, ssd300_vgg16),
        (detection.ssdlite320_mobilenet_v3_large, ssdlite320_mobilenet_v3_large),
    ],
)
def test_torchvisions_weights_load_as_they_are(
    build: Callable[..., detection.ssd.SSD], ours: Callable[[int], Ssd]
) -> None:
    with torch.device("meta"):
        theirs = build(weights=None, weights_backbone=None, num_classes=91)
        network = ours(90)
    network.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    mean = [255 * value for value in theirs.transform.image_mean]
    std = [255 * value for value in theirs.transform.image_std]
    assert network.mean == pytest.approx(mean, abs=0.01)
    assert network.std == pytest.approx(std, abs=0.01)


def test_raw_answers_are_those_behind_torchvisions() -> None:
    torch.manual_seed(0)
    model = detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4, score_thresh=0.0, topk_candidates=5
    )
    network = lively(from_torchvision(model))
    assert network.default_boxes == SSDLITE320_BOXES
    model.eval()
    image = torch.rand(3, 320, 320)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (network.mean, network.std))
    with torch.no_grad():
        (found,) = model([image])
        raw = network(((255 * image - mean) / std)[None])
    scores = raw.class_logits[0].softmax(1)[:, 1:]
    boxes = decode_boxes(raw.box_deltas[0].numpy(), default_boxes(SSDLITE320_BOXES))
    assert float(scores.std()) > 0.01
    assert len(found["boxes"]) > 3
    corners = (320 * boxes).clip(0, 320)
    for label, score, box in zip(found["labels"], found["scores"], found["boxes"], strict=True):
        anchor = int((scores[:, label - 1] - score).abs().argmin())
        assert float(scores[anchor, label - 1]) == pytest.approx(float(score), abs=1e-4)
        np.testing.assert_allclose(corners[anchor], box.numpy(), atol=0.05)


@pytest.mark.parametrize(
    ("build", "spec", "size", "steps"),
    [
        (detection.ssd300_vgg16, SSD300_BOXES, (300, 300), True),
        (detection.ssdlite320_mobilenet_v3_large, SSDLITE320_BOXES, (320, 320), False),
    ],
)
def test_default_boxes_are_read_from_torchvisions_model(
    build: Callable[..., detection.ssd.SSD], spec: DefaultBoxSpec, size: object, steps: bool
) -> None:
    with torch.device("meta"):
        network = from_torchvision(build(weights=None, weights_backbone=None, num_classes=3))
    assert network.default_boxes == spec
    assert spec.image_size == size
    assert (spec.steps is not None) == steps


def test_trunks_are_taken_over() -> None:
    with torch.device("meta"):
        vgg, resnet = models.vgg16(), models.resnet50()
        v2, v3 = models.mobilenet_v2(), models.mobilenet_v3_large()
        pairs = [
            (vgg.features, ssd300_vgg16(3, vgg)),
            (resnet.layer3, ssd300_resnet50(3, resnet)),
            (v2.features, ssdlite320_mobilenet_v2(3, v2)),
            (v3.features, ssdlite320_mobilenet_v3_large(3, v3)),
        ]
        for trunk, network in pairs:
            taken = {id(parameter) for parameter in network.backbone.parameters()}
            assert all(id(parameter) in taken for parameter in trunk.parameters())
            network.eval()(torch.empty(1, 3, *size_of(network)))


def test_mobilenet_v2_levels_are_the_networks_own_maps() -> None:
    torch.manual_seed(0)
    v2 = models.mobilenet_v2().eval()
    image = torch.randn(1, 3, 320, 320)
    with torch.no_grad():
        wanted = v2.features(image)
        expansion = v2.features[14].conv[0](v2.features[:14](image))
        outputs = ssdlite320_mobilenet_v2(3, v2).eval()(image)
    torch.testing.assert_close(outputs.features[0], expansion)
    torch.testing.assert_close(outputs.features[1], wanted)


def test_a_detector_learns_one_image() -> None:
    network = lively(ssdlite320_mobilenet_v2(2)).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # One image cannot normalise the maps of one cell.
            layer.eval()
    targets = Matcher(default_boxes(network.default_boxes))(
        np.array([[0.1, 0.2, 0.6, 0.7], [0.5, 0.5, 0.9, 0.8]], np.float32),
        np.array([0, 1]),
        np.array([False, False]),
    )
    classes = torch.from_numpy(targets.classes)[None]
    offsets = torch.from_numpy(targets.deltas)[None]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    image = torch.randn(1, 3, 320, 320)
    history = []
    for _ in range(6):
        outputs = network(image)
        loss = sum(multibox_loss(outputs.class_logits, outputs.box_deltas, classes, offsets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert history[-1] < 0.7 * history[0]


@pytest.mark.parametrize("build", NETWORKS)
def test_exports(build: Callable[[int], Ssd], tmp_path: Path) -> None:
    whole = lively(build(3))
    network = folded(whole)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    case = {"images": torch.randn(1, 3, *size_of(network))}
    with torch.no_grad():
        outputs, wanted = network(case["images"]), whole(case["images"])
    torch.testing.assert_close(outputs.class_logits, wanted.class_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(outputs.box_deltas, wanted.box_deltas, atol=1e-4, rtol=1e-4)
    assert float(outputs.class_logits.std()) > 0.1
    assert float(outputs.box_deltas.std()) > 0.1
    levels = [f"feature_{level}" for level in range(6)]
    write_onnx(network, case, ["class_logits", "box_deltas", *levels], tmp_path / "model.onnx")
    assert check_onnx(network, tmp_path / "model.onnx", [case], 1e-4) <= 1e-4


def test_another_size_is_refused() -> None:
    with torch.device("meta"):
        network = ssd300_vgg16(3).eval()
        with pytest.raises(ConfigError, match=r"resize them to \(300, 300\)"):
            network(torch.empty(1, 3, 320, 320))
