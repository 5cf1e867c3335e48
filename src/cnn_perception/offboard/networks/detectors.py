"""The detectors that can be trained, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn
from torchvision.models import mobilenet_v2, mobilenet_v3_large, resnet50

from cnn_perception.errors import ConfigError
from cnn_perception.formats.default_boxes import DefaultBoxSpec, PyramidBoxes
from cnn_perception.offboard.networks.mobilenet_v2 import MobileNetV2Trunk
from cnn_perception.offboard.networks.normalisation import CAFFE, CENTRED, IMAGENET, Normalisation
from cnn_perception.offboard.networks.ssd import (
    SSD300_BOXES,
    SSDLITE320_BOXES,
    Ssd,
    ssd300_resnet50,
    ssd300_vgg16,
    ssdlite320_mobilenet_v2,
    ssdlite320_mobilenet_v3_large,
    vgg16_trunk,
)
from cnn_perception.offboard.networks.ssd_trunks import ssdlite_norm
from cnn_perception.offboard.networks.ssdlite import SsdLite, SsdLiteHead
from cnn_perception.offboard.networks.weights import load_best, read_weights
from cnn_perception.settings import Config, setting, settings

__all__ = ["DETECTORS", "DetectorDesign", "DetectorOptions", "design_detector"]

_PYRAMID = "ssdlite_fpn_mobilenet_v2"
_REDUCIBLE = "ssdlite320_mobilenet_v3_large"


@dataclass(frozen=True, slots=True)
class _Published:
    """An SSD of a paper. imagenet: torchvision's name of the weights that its trunk starts from."""

    build: Callable[..., Ssd]
    trunk: Callable[..., nn.Module]
    imagenet: str
    default_boxes: DefaultBoxSpec
    normalisation: Normalisation


_PUBLISHED: Mapping[str, _Published] = {
    "ssd300_resnet50": _Published(
        ssd300_resnet50, resnet50, "ResNet50_Weights.IMAGENET1K_V1", SSD300_BOXES, IMAGENET
    ),
    "ssd300_vgg16": _Published(
        ssd300_vgg16,
        vgg16_trunk,
        "VGG16_Weights.IMAGENET1K_FEATURES",
        SSD300_BOXES,
        CAFFE,
    ),
    "ssdlite320_mobilenet_v2": _Published(
        ssdlite320_mobilenet_v2,
        partial(mobilenet_v2, norm_layer=ssdlite_norm),
        "MobileNet_V2_Weights.IMAGENET1K_V1",
        SSDLITE320_BOXES,
        CENTRED,
    ),
    "ssdlite320_mobilenet_v3_large": _Published(
        ssdlite320_mobilenet_v3_large,
        partial(mobilenet_v3_large, norm_layer=ssdlite_norm),
        "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
        SSDLITE320_BOXES,
        CENTRED,
    ),
}

DETECTORS = (*_PUBLISHED, _PYRAMID)
"""Names of the detectors: the published SSDs, and the SSDLite with a light feature pyramid."""


@dataclass(frozen=True, slots=True)
class DetectorOptions(Config):
    """Which detector, and from what it starts.

    Sizes of images and layers are for ssdlite_fpn_mobilenet_v2, which has no published ones.
    """

    name: str = setting("ssdlite320_mobilenet_v3_large", "Detector", choices=DETECTORS)
    weights: str = setting(
        "none",
        "Starting weights: none, imagenet (torchvision's, downloaded once), or the path of a state "
        "dict with torchvision's names, of the classifier underneath or of the whole detector",
    )
    reduced_tail: bool = setting(
        True,
        "ssdlite320_mobilenet_v3_large: half the channels in the last blocks, as published; a "
        "classifier's weights fit there only without it",
    )
    scales: tuple[float, ...] = setting(
        (),
        "Published SSDs: sizes of the default boxes, fractions of the image, one more than levels; "
        "none takes those for COCO",
    )
    image_width: int = setting(256, "Width of the input, pixels", between=(64, 2048))
    image_height: int = setting(192, "Height of the input, pixels", between=(64, 2048))
    width: float = setting(1.0, "Channel multiplier of MobileNetV2", between=(0.1, 2.0))
    box_width: int = setting(96, "Channels of the pyramid", between=(16, 512))
    default_boxes: PyramidBoxes | None = setting(
        None, "ssdlite_fpn_mobilenet_v2: its default boxes"
    )


@dataclass(frozen=True, slots=True)
class DetectorDesign:
    """What is known of a detector before it is built.

    size: (width, height) of its input, pixels.
    """

    options: DetectorOptions
    default_boxes: DefaultBoxSpec
    size: tuple[int, int]
    normalisation: Normalisation

    def build(self, classes: int) -> nn.Module:
        """Return the network, which answers with `SsdOutputs`, with its starting weights.

        classes: kinds of objects, without background. Raises ModelError for weights that are not to
        be had or do not fit.
        """
        options = self.options
        if options.name == _PYRAMID:
            return self._build_pyramid(classes)
        published = _PUBLISHED[options.name]
        state = read_weights(options.weights, published.imagenet)
        choice = {"reduced_tail": options.reduced_tail} if options.name == _REDUCIBLE else {}
        trunk = published.trunk(**choice)
        network = published.build(classes, trunk)
        network.default_boxes = self.default_boxes
        if state is not None:
            # Their layers are the same, and to fill either fills both; only the names differ.
            load_best(options.name, (trunk, network), state, options.weights)
        return network

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the head, and the levels above the classifier that the network stands on."""
        if isinstance(network, Ssd):
            return (network.backbone.extra, network.head)
        return (network.head,)

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the predictors."""
        return (network.head,) if isinstance(network, Ssd) else (network.head.heads,)

    def _build_pyramid(self, classes: int) -> nn.Module:
        options = self.options
        state = read_weights(options.weights, "MobileNet_V2_Weights.IMAGENET1K_V1")
        trunk = MobileNetV2Trunk(options.width)
        head = SsdLiteHead(trunk.channels, classes, self.default_boxes, options.box_width)
        network = SsdLite(trunk, head)
        if state is not None:
            load_best(options.name, (trunk, network), state, options.weights)
        return network


def design_detector(section: Mapping[str, Any] | DetectorOptions) -> DetectorDesign:
    """Return the design that a plan's section ``network`` describes; raises ConfigError."""
    options = DetectorOptions.from_mapping(section)
    boxes = options.default_boxes
    if options.name == _PYRAMID:
        if options.scales:
            raise ConfigError(f"{_PYRAMID} has its scales in default_boxes: move them there")
        size = (options.image_width, options.image_height)
        if boxes is None:
            raise ConfigError(f"{_PYRAMID} needs default_boxes: give scales and aspect_ratios")
        return DetectorDesign(options, boxes.at(size), size, IMAGENET)
    published = _PUBLISHED[options.name]
    free = {"name", "weights", "scales", "reduced_tail"}
    fixed = sorted(
        known.name
        for known in settings(DetectorOptions)
        if known.name not in free and getattr(options, known.name) != known.default
    )
    if fixed:
        raise ConfigError(
            f"{options.name} is built as published, without {', '.join(fixed)}: delete that or "
            f"choose {_PYRAMID}"
        )
    default_boxes = published.default_boxes
    if options.scales:
        default_boxes = replace(default_boxes, scales=options.scales)
    height, width = default_boxes.image_size or (0, 0)
    return DetectorDesign(options, default_boxes, (width, height), published.normalisation)
