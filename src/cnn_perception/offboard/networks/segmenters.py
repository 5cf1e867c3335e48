"""The segmentation networks that can be trained, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torchvision.models import VGG, get_model, vgg16
from torchvision.models.segmentation.lraspp import LRASPPHead

from cnn_perception.offboard.networks.fcn import Fcn, FcnHead
from cnn_perception.offboard.networks.fcn_vgg16 import FcnVgg16
from cnn_perception.offboard.networks.mobilenet_v2 import MobileNetV2Trunk
from cnn_perception.offboard.networks.weights import load_best, read_weights
from cnn_perception.settings import Config, setting

__all__ = [
    "SEGMENTERS",
    "SegmenterDesign",
    "SegmenterOptions",
    "TorchvisionSegmenter",
    "design_segmenter",
]

_RESNET50 = "ResNet50_Weights.IMAGENET1K_V1"
_RESNET101 = "ResNet101_Weights.IMAGENET1K_V1"
_MOBILENET = "MobileNet_V3_Large_Weights.IMAGENET1K_V1"

_STRIDES = {"fcn32s_vgg16": 32, "fcn16s_vgg16": 16, "fcn8s_vgg16": 8}
_LIGHT = "fcn_mobilenet_v2"
_TORCHVISION = {
    "deeplabv3_mobilenet_v3_large": _MOBILENET,
    "deeplabv3_resnet101": _RESNET101,
    "deeplabv3_resnet50": _RESNET50,
    "fcn_resnet101": _RESNET101,
    "fcn_resnet50": _RESNET50,
    "lraspp_mobilenet_v3_large": _MOBILENET,
}
"""torchvision's networks, and the weights that their trunks start from."""

_WITHOUT_AUXILIARY = ("lraspp_mobilenet_v3_large",)

SEGMENTERS = (*_STRIDES, _LIGHT, *_TORCHVISION)
"""Names of the segmentation networks."""


@dataclass(frozen=True, slots=True)
class SegmenterOptions(Config):
    """Which network, for images of what size, and from what it starts."""

    name: str = setting("lraspp_mobilenet_v3_large", "Network", choices=SEGMENTERS)
    weights: str = setting(
        "none",
        "Starting weights: none, imagenet (torchvision's, downloaded once), or the path of a state "
        "dict with torchvision's names, of the classifier underneath or of the whole network",
    )
    image_width: int = setting(480, "Width of the input, pixels", between=(32, 2048))
    image_height: int = setting(480, "Height of the input, pixels", between=(32, 2048))
    auxiliary: bool = setting(
        True, "Train a second head on the last but one stage, where torchvision's network has one"
    )
    width: float = setting(
        1.0, "Channel multiplier of fcn_mobilenet_v2's trunk", between=(0.1, 2.0)
    )
    mask_width: int = setting(96, "Channels of fcn_mobilenet_v2's decoder", between=(16, 512))


class TorchvisionSegmenter(nn.Module):
    """A segmentation network of torchvision that answers with its scores alone.

    Normalised float32 (B, 3, H, W) -> logits (B, labels, H, W). Its weights have torchvision's
    names, so that published ones load as they are; the modules are shared, not copied.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.classifier = model.classifier
        self.aux_classifier = getattr(model, "aux_classifier", None)

    def forward(self, images: Tensor) -> Tensor:
        return _enlarged(self._scores(self.backbone(images)), images)

    def with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what `forward` does, and the auxiliary head's logits where there is one."""
        features = self.backbone(images)
        logits = _enlarged(self._scores(features), images)
        if self.aux_classifier is None:
            return logits, None
        return logits, _enlarged(self.aux_classifier(features["aux"]), images)

    def _scores(self, features: Mapping[str, Tensor]) -> Tensor:
        # LR-ASPP's head reads two maps, the others one.
        scores: Tensor = self.classifier(features.get("out", features))
        return scores


def _enlarged(logits: Tensor, images: Tensor) -> Tensor:
    return nn.functional.interpolate(
        logits, size=images.shape[-2:], mode="bilinear", align_corners=False
    )


@dataclass(frozen=True, slots=True)
class SegmenterDesign:
    """What is known of a segmentation network before it is built."""

    options: SegmenterOptions

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the input, pixels."""
        return self.options.image_width, self.options.image_height

    def build(self, labels: int) -> nn.Module:
        """Return the network, with its starting weights: normalised images -> logits.

        labels: of the mask, background included. Raises ModelError for weights that are not to be
        had or do not fit.
        """
        options = self.options
        if options.name in _STRIDES:
            return self._build_vgg16(labels, _STRIDES[options.name])
        if options.name == _LIGHT:
            return self._build_light(labels)
        return self._build_torchvision(labels)

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the heads, with all that is above the classifier that the network stands on."""
        if isinstance(network, TorchvisionSegmenter):
            heads = (network.classifier, network.aux_classifier)
            return [head for head in heads if head is not None]
        if isinstance(network, FcnVgg16):
            return [network.fc6, network.fc7, *self.head(network)]
        return [network.head]

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the layers whose number of channels is that of the labels."""
        if isinstance(network, FcnVgg16):
            return [x for name, x in network.named_children() if "score" in name]
        if isinstance(network, Fcn):
            return [network.head.score]
        if isinstance(network.classifier, LRASPPHead):
            return [network.classifier.low_classifier, network.classifier.high_classifier]
        heads = (network.classifier, network.aux_classifier)
        return [head[-1] for head in heads if head is not None]

    def _build_vgg16(self, labels: int, stride: int) -> nn.Module:
        options = self.options
        state = read_weights(options.weights, "VGG16_Weights.IMAGENET1K_V1")
        if state is None:
            return FcnVgg16(labels, stride)
        trunk: VGG = vgg16(init_weights=False)
        # The trunk's tensors become the network's: filling it fills both.
        network = FcnVgg16(labels, stride, trunk)
        load_best(options.name, (trunk, network), state, options.weights)
        return network

    def _build_light(self, labels: int) -> nn.Module:
        options = self.options
        state = read_weights(options.weights, "MobileNet_V2_Weights.IMAGENET1K_V1")
        trunk = MobileNetV2Trunk(options.width)
        network = Fcn(trunk, FcnHead(trunk.channels, labels, options.mask_width))
        if state is not None:
            load_best(options.name, (trunk, network), state, options.weights)
        return network

    def _build_torchvision(self, labels: int) -> nn.Module:
        options = self.options
        state = read_weights(options.weights, _TORCHVISION[options.name])
        choice = {} if options.name in _WITHOUT_AUXILIARY else {"aux_loss": options.auxiliary}
        network = TorchvisionSegmenter(
            get_model(
                options.name, weights=None, weights_backbone=None, num_classes=labels, **choice
            )
        )
        if state is not None:
            # A MobileNet's trunk is the classifier's `features`, a ResNet's the classifier itself.
            trunk = nn.ModuleDict({"features": network.backbone})
            load_best(options.name, (network.backbone, trunk, network), state, options.weights)
        return network


def design_segmenter(section: Mapping[str, Any] | SegmenterOptions) -> SegmenterDesign:
    """Return the design that a plan's section ``network`` describes; raises ConfigError."""
    return SegmenterDesign(SegmenterOptions.from_mapping(section))
