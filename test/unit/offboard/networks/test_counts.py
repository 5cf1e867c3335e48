"""Parameters and multiply-adds: ours, torchvision's metadata, the papers', and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402
from torchvision import models  # noqa: E402

from cnn_perception.formats.default_boxes import DefaultBoxSpec  # noqa: E402
from cnn_perception.offboard.networks.counts import count_multiply_adds, count_parameters  # noqa: E402
from cnn_perception.offboard.networks.fcn_vgg16 import FcnVgg16  # noqa: E402
from cnn_perception.offboard.networks.mobilenet_v2 import MobileNetV2Trunk  # noqa: E402
from cnn_perception.offboard.networks.rooms import RoomsNetwork  # noqa: E402
from cnn_perception.offboard.networks.segmenters import design_segmenter  # noqa: E402
from cnn_perception.offboard.networks.ssd import (  # noqa: E402
    ssd300_resnet50,
    ssd300_vgg16,
    ssdlite320_mobilenet_v2,
    ssdlite320_mobilenet_v3_large,
)
from cnn_perception.offboard.pretrained.catalog import read_catalog  # noqa: E402

CATALOG = {name: entry for name, entry in read_catalog().items() if entry.weights}
"""torchvision's networks that can be fetched."""


def of_task(task: str) -> list[str]:
    return [name for name, entry in CATALOG.items() if entry.task == task]


def meta_of(name: str) -> dict[str, Any]:
    """What torchvision says of the weights that are fetched."""
    meta: dict[str, Any] = models.get_model_weights(name)[CATALOG[name].weights].meta
    return meta


def counts(build: Callable[[], nn.Module], *size: int) -> tuple[int, int]:
    """Parameters and multiply-adds for one float32 image, without computing anything."""
    with torch.device("meta"):
        network = build()
        return count_parameters(network), count_multiply_adds(network, torch.empty(1, *size))


def rounded(value: int, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


# --- what torchvision publishes with its weights ---


@pytest.mark.parametrize("name", of_task("classification"))
def test_classifiers_equal_the_published_counts(name: str) -> None:
    # GoogLeNet's published count is without the auxiliary heads, Inception's with them.
    options = {
        "googlenet": {"aux_logits": False, "init_weights": False},
        "inception_v3": {"aux_logits": True, "init_weights": False},
    }.get(name, {})
    weights = models.get_model_weights(name)[CATALOG[name].weights]
    side = weights.transforms().crop_size[0]
    parameters, adds = counts(
        lambda: models.get_model(name, weights=None, **options), 3, side, side
    )
    assert parameters == weights.meta["num_params"]
    assert round(adds / 1e9, 3) == weights.meta["_ops"]


@pytest.mark.parametrize("name", of_task("segmentation"))
def test_segmenters_equal_the_published_counts(name: str) -> None:
    side = models.get_model_weights(name)[CATALOG[name].weights].transforms().resize_size[0]
    with torch.device("meta"):
        network = design_segmenter({"name": name}).build(21)
        # torchvision counts the auxiliary head too, which training alone runs.
        adds = count_multiply_adds(TrainedSegmenter(network), torch.empty(1, 3, side, side))
    assert count_parameters(network) == meta_of(name)["num_params"]
    assert round(adds / 1e9, 3) == meta_of(name)["_ops"]


class TrainedSegmenter(nn.Module):
    """A segmenter with its auxiliary head."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network.with_auxiliary(images)


class Detector(nn.Module):
    """A detector of torchvision without what depends on the picture.

    Of regions of interest as many are classified, and as many outlined, as are asked for.
    """

    def __init__(self, model: nn.Module, regions: int, outlines: int) -> None:
        super().__init__()
        self.model = model
        self.regions = regions
        self.outlines = outlines

    def forward(self, images: Tensor) -> None:
        maps = list(self.model.backbone(images).values())
        if hasattr(self.model, "head"):
            self.model.head(maps)
            return
        self.model.rpn.head(maps)
        heads, channels = self.model.roi_heads, maps[0].shape[1]
        if self.regions:
            heads.box_predictor(heads.box_head(torch.empty(self.regions, channels, 7, 7)))
        if self.outlines:
            heads.mask_predictor(heads.mask_head(torch.empty(self.outlines, channels, 14, 14)))


@pytest.mark.parametrize(
    ("name", "side", "regions", "outlines"),
    [
        # torchvision counts on noise: 1000 regions are looked at, or none that is likely enough.
        ("fasterrcnn_mobilenet_v3_large_320_fpn", 320, 0, 0),
        ("fasterrcnn_mobilenet_v3_large_fpn", 800, 0, 0),
        ("fasterrcnn_resnet50_fpn", 800, 1000, 0),
        ("fasterrcnn_resnet50_fpn_v2", 800, 1000, 0),
        ("maskrcnn_resnet50_fpn", 800, 1000, 0),
        ("maskrcnn_resnet50_fpn_v2", 800, 1000, 100),
        ("retinanet_resnet50_fpn", 800, 0, 0),
        ("retinanet_resnet50_fpn_v2", 800, 0, 0),
        ("ssd300_vgg16", 300, 0, 0),
        ("ssdlite320_mobilenet_v3_large", 320, 0, 0),
    ],
)
def test_detectors_equal_the_published_counts(
    name: str, side: int, regions: int, outlines: int
) -> None:
    with torch.device("meta"):
        model = models.get_model(name, weights=None, weights_backbone=None).eval()
        network = Detector(model, regions, outlines)
        adds = count_multiply_adds(network, torch.empty(1, 3, side, side))
    parameters = count_parameters(model)
    if name.endswith(("v3_large_fpn", "320_fpn", "resnet50_fpn")):
        # With weights the normalisation of the trunk does not learn, and does not count.
        norms = [x for x in model.backbone.body.modules() if isinstance(x, nn.BatchNorm2d)]
        parameters -= sum(count_parameters(norm) for norm in norms)
    assert parameters == meta_of(name)["num_params"]
    assert round(adds / 1e9, 3) == meta_of(name)["_ops"]


def test_all_detectors_that_can_be_fetched_are_counted() -> None:
    (mark,) = test_detectors_equal_the_published_counts.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == set(of_task("detection"))


@pytest.mark.parametrize(
    ("name", "build", "side"),
    [
        ("ssd300_vgg16", ssd300_vgg16, 300),
        ("ssdlite320_mobilenet_v3_large", ssdlite320_mobilenet_v3_large, 320),
    ],
)
def test_our_detectors_equal_the_published_counts(
    name: str, build: Callable[[int], nn.Module], side: int
) -> None:
    meta = meta_of(name)
    classes = len(meta["categories"]) - 1
    parameters, adds = counts(lambda: build(classes), 3, side, side)
    assert parameters == meta["num_params"]
    assert round(adds / 1e9, 3) == meta["_ops"]


# --- what the papers say, to the digits that they give ---


class LeNet5(nn.Module):
    """LeCun et al. 1998, figure 2, up to the 84 features that the output units compare."""

    MAPS = tuple(tuple((first + k) % 6 for k in range(3)) for first in range(6))
    MAPS += tuple(tuple((first + k) % 6 for k in range(4)) for first in range(6))
    MAPS += ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5))
    """Table I: which maps of S2 each map of C3 sees."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.c3 = nn.ModuleList(nn.Conv2d(len(maps), 1, 5) for maps in self.MAPS)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.s2 = nn.Parameter(torch.ones(2, 6, 1, 1))
        self.s4 = nn.Parameter(torch.ones(2, 16, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(self.c1(images), 2)
        x = torch.tanh(self.s2[0] * x + self.s2[1])
        x = torch.cat([c(x[:, list(m)]) for c, m in zip(self.c3, self.MAPS, strict=True)], 1)
        x = torch.tanh(self.s4[0] * nn.functional.avg_pool2d(x, 2) + self.s4[1])
        answer: Tensor = self.f6(torch.tanh(self.c5(x)).flatten(1))
        return answer


def test_lenet5() -> None:
    # LeCun et al. 1998, section II.B: 60,000 parameters; connections, one per bias included, of
    # C1 122,304, C3 151,600, C5 48,120 and F6 10,164.
    parameters, adds = counts(LeNet5, 1, 32, 32)
    assert parameters == 60_000
    biases = 28 * 28 * 6 + 10 * 10 * 16 + 120 + 84
    assert adds + biases == 122_304 + 151_600 + 48_120 + 10_164


def alexnet_2012() -> nn.Module:
    """Krizhevsky et al. 2012: half of the maps on each of two GPUs."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(9216, 4096),
        nn.Linear(4096, 4096),
        nn.Linear(4096, 1000),
    )


def test_alexnet() -> None:
    # Sze et al. 2017, table II: 61M weights, 724M multiply-adds.
    parameters, adds = counts(alexnet_2012, 3, 227, 227)
    assert parameters == 60_965_224
    assert rounded(parameters, 2) == 61e6
    assert rounded(adds, 3) == 724e6


def resnet50_2015() -> nn.Module:
    """He et al. 2015: the stride is in the first 1x1 convolution; torchvision moved it on."""
    network = models.resnet50()
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return network


@pytest.mark.parametrize(
    ("build", "parameters", "adds"),
    [
        # Simonyan and Zisserman 2015, table 2; Sze et al. 2017, table II.
        pytest.param(models.vgg16, (138e6, 3), (15.5e9, 3), id="vgg16"),
        pytest.param(models.vgg19, (144e6, 3), None, id="vgg19"),
        pytest.param(resnet50_2015, None, (3.9e9, 2), id="resnet50"),
        # He et al. 2015, table 1.
        pytest.param(models.resnet18, None, (1.8e9, 2), id="resnet18"),
        # Sandler et al. 2018, table 4.
        pytest.param(models.mobilenet_v2, None, (300e6, 2), id="mobilenet_v2"),
        # Tan and Le 2019, table 2.
        pytest.param(models.efficientnet_b0, (5.3e6, 2), (0.39e9, 2), id="efficientnet_b0"),
        # Iandola et al. 2016, table 2, counts 4.8 MB of float32.
        pytest.param(models.squeezenet1_0, (1.2e6, 2), None, id="squeezenet1_0"),
    ],
)
def test_papers(
    build: Callable[[], nn.Module],
    parameters: tuple[float, int] | None,
    adds: tuple[float, int] | None,
) -> None:
    found = counts(build, 3, 224, 224)
    for value, published in zip(found, (parameters, adds), strict=True):
        if published is not None:
            assert rounded(value, published[1]) == published[0]


def test_ssdlite_on_mobilenet_v2() -> None:
    # Sandler et al. 2018, table 6: 4.3M parameters, 0.8B multiply-adds for COCO's 80 classes, with
    # three boxes per cell of the 20x20 level where ours has six.
    parameters, adds = counts(lambda: ssdlite320_mobilenet_v2(80), 3, 320, 320)
    more = 3 * (81 + 4)
    assert rounded(parameters - more * (576 + 1), 2) == 4.3e6
    assert rounded(adds - 20 * 20 * more * 576, 1) == 0.8e9


# --- by hand ---

VGG16 = 138_357_544
FC8 = 4096 * 1000 + 1000


@pytest.mark.parametrize(
    ("stride", "stages"),
    [
        (32, ((64, 4097),)),
        (16, ((32, 4097), (4, 513))),
        (8, ((16, 4097), (4, 513), (4, 257))),
    ],
)
def test_fcn_is_vgg16_with_scores(stride: int, stages: tuple[tuple[int, int], ...]) -> None:
    # Each stage: a transposed convolution of 21 to 21 channels, and scores with their biases.
    extra = sum(21 * 21 * kernel**2 + 21 * inputs for kernel, inputs in stages)
    parameters, _ = counts(lambda: FcnVgg16(21, stride), 3, 32, 32)
    assert parameters == VGG16 - FC8 + extra
    # Long et al. 2015, table 1, says 134M: without the fixed interpolation of the last layer.
    assert rounded(parameters - 21 * 21 * stages[0][0] ** 2, 3) == 134e6


def test_multiply_adds_of_fcn32s() -> None:
    # 224 pixels and the border give maps of 422, 211, 106, 53 and 27 cells, and 14 - 6 = 8 of fc6.
    convolutions = (
        422**2 * 9 * (3 * 64 + 64 * 64)
        + 211**2 * 9 * (64 * 128 + 128 * 128)
        + 106**2 * 9 * (128 * 256 + 2 * 256 * 256)
        + 53**2 * 9 * (256 * 512 + 2 * 512 * 512)
        + 27**2 * 9 * 3 * 512 * 512
    )
    classifier = 8**2 * (49 * 512 * 4096 + 4096 * 4096 + 4096 * 21)
    enlarged = 8**2 * 21 * 21 * 64**2
    _, adds = counts(lambda: FcnVgg16(21, 32), 3, 224, 224)
    assert adds == convolutions + classifier + enlarged


def test_ssd300_on_resnet50() -> None:
    trunk = 25_557_032 - 14_964_736 - 2_049_000  # ResNet-50 without layer4 and classifier
    levels = ((1024, 256, 512), (512, 256, 512), (512, 128, 256), (256, 128, 256), (256, 128, 256))
    extra = sum(i * m + 2 * m + 9 * m * o + 2 * o for i, m, o in levels)
    maps = ((1024, 4), (512, 6), (512, 6), (256, 6), (256, 4), (256, 4))
    heads = sum((9 * channels + 1) * boxes * (81 + 4) for channels, boxes in maps)
    parameters, adds = counts(lambda: ssd300_resnet50(80), 3, 300, 300)
    assert parameters == trunk + extra + heads
    cells = (38**2, 19**2, 10**2, 5**2, 3**2, 1)
    in_heads = sum(9 * n * c * b * 85 for n, (c, b) in zip(cells, maps, strict=True))
    in_extra = sum(
        before * i * m + after * 9 * m * o
        for before, after, (i, m, o) in zip(cells, cells[1:], levels, strict=False)
    )
    layer1 = 75**2 * (64 * 64 + 9 * 64 * 64 + 2 * 64 * 256 + 2 * (2 * 256 * 64 + 9 * 64 * 64))
    layer2 = 75**2 * 256 * 128 + 38**2 * (
        9 * 128 * 128 + 128 * 512 + 256 * 512 + 3 * (2 * 512 * 128 + 9 * 128 * 128)
    )
    layer3 = 38**2 * (
        512 * 256 + 9 * 256 * 256 + 256 * 1024 + 512 * 1024 + 5 * (2 * 1024 * 256 + 9 * 256 * 256)
    )
    stem = 150**2 * 49 * 3 * 64
    assert adds == stem + layer1 + layer2 + layer3 + in_extra + in_heads


def test_the_trunk_of_the_rooms_is_mobilenet_v2_without_its_end() -> None:
    parameters, adds = counts(lambda: MobileNetV2Trunk(1.0), 3, 224, 224)
    assert parameters == 3_504_872 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)
    assert adds == 300_774_272 - 7 * 7 * 320 * 1280 - 1280 * 1000


def test_heads_of_the_rooms() -> None:
    spec = DefaultBoxSpec(
        ((12, 16), (6, 8), (3, 4), (2, 2)), (0.1, 0.2, 0.4, 0.7, 1.0), ((2.0,), (2.0,), (2.0,), ())
    )
    with torch.device("meta"):
        network = RoomsNetwork(spec, 12, 15, width=1.0, box_width=96, mask_width=64)
    # Six times the 24, 32 and 96 channels before a halving, and the last block's 320.
    assert network.trunk.channels == (144, 192, 576, 320)
    _, c8, c16, c32 = network.trunk.channels
    w = 96
    separable = (9 + 2) * w + w * w + 2 * w
    boxes = (c8 + c16 + c32) * w + 3 * 2 * w + (3 + 1) * separable
    boxes += sum((9 + 2) * w + (w + 1) * per_cell * (13 + 4) for per_cell in (4, 4, 4, 2))
    assert count_parameters(network.boxes) == boxes

    cells = (12 * 16, 6 * 8, 3 * 4, 2 * 2)
    adds = w * (cells[0] * c8 + cells[1] * c16 + cells[2] * c32)
    adds += sum(n * (9 * w + w * w) for n in cells)
    adds += sum(n * (9 * w + w * b * 17) for n, b in zip(cells, (4, 4, 4, 2), strict=True))
    trunk = count_multiply_adds(network.trunk, torch.empty(1, 3, 96, 128, device="meta"))
    whole = count_multiply_adds(network.detector(), torch.empty(1, 3, 96, 128, device="meta"))
    assert whole - trunk == adds


# --- the counter itself ---


def test_transposed_and_grouped_convolutions() -> None:
    layers = nn.Sequential(
        nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2), nn.Conv2d(4, 8, (1, 3), groups=4)
    )
    # 5x7 inputs meet 2 channels of 3x3; 11x13 outputs see 1 channel of 1x3.
    assert count_multiply_adds(layers, torch.zeros(2, 6, 5, 7)) == 2 * (
        5 * 7 * 6 * 2 * 9 + 11 * 13 * 8 * 1 * 3
    )


@pytest.mark.parametrize("batch_first", [False, True])
def test_attention(batch_first: bool) -> None:
    attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=5, batch_first=batch_first)
    query, key, value = torch.zeros(3, 4, 8), torch.zeros(3, 7, 6), torch.zeros(3, 7, 5)
    given = [x if batch_first else x.transpose(0, 1) for x in (query, key, value)]
    projections = 4 * 8 * 8 + 7 * 6 * 8 + 7 * 5 * 8 + 4 * 8 * 8
    assert count_multiply_adds(attention, *given) == 3 * (projections + 2 * 4 * 7 * 8)
    alone = count_multiply_adds(attention, *(x[0] for x in (query, key, value)))
    assert 3 * alone == count_multiply_adds(attention, *given)


def test_a_layer_used_twice_computes_twice_but_learns_once() -> None:
    layer = nn.Linear(3, 3)
    network = nn.Sequential(layer, layer)
    assert count_parameters(network) == 12
    assert count_multiply_adds(network, torch.zeros(5, 3)) == 2 * 5 * 9


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Linear(4, 1))
    network[1].eval()
    before = [module.training for module in network.modules()]
    count_multiply_adds(network, torch.randn(2, 1, 3, 4))
    assert [module.training for module in network.modules()] == before
    assert network[1].num_batches_tracked == 0
    with pytest.raises(RuntimeError):
        count_multiply_adds(network, torch.randn(2, 7, 3, 4))
    assert [module.training for module in network.modules()] == before
    assert not any(module._forward_hooks for module in network.modules())
