"""The published SSD networks with raw outputs (Liu et al. 2016, Sandler et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import (
    VGG,
    MobileNetV2,
    MobileNetV3,
    ResNet,
    mobilenet_v2,
    mobilenet_v3_large,
    resnet50,
)
from torchvision.models.detection.ssd import SSD, SSDFeatureExtractorVGG, SSDHead
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead
from torchvision.models.vgg import cfgs, make_layers

from cnn_perception.errors import ConfigError
from cnn_perception.formats.default_boxes import DefaultBoxSpec, linear_scales
from cnn_perception.offboard.networks.normalisation import CAFFE, CENTRED, IMAGENET, Normalisation
from cnn_perception.offboard.networks.ssd_trunks import (
    ResNetSsdTrunk,
    mobilenet_v2_trunk,
    mobilenet_v3_trunk,
    ssdlite_norm,
)
from cnn_perception.offboard.networks.ssdlite import SsdOutputs

__all__ = [
    "SSD300_BOXES",
    "SSDLITE320_BOXES",
    "Ssd",
    "from_torchvision",
    "ssd300_resnet50",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v2",
    "ssdlite320_mobilenet_v3_large",
    "vgg16_trunk",
]

SSD300_BOXES = DefaultBoxSpec(
    feature_maps=((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)),
    scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    aspect_ratios=((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,)),
    steps=(8.0, 16.0, 32.0, 64.0, 100.0, 300.0),
    image_size=(300, 300),
)
"""The 8732 default boxes of SSD300, with the scales for COCO."""

SSDLITE320_BOXES = DefaultBoxSpec(
    feature_maps=((20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)),
    scales=linear_scales(6, 0.2, 0.95),
    aspect_ratios=((2.0, 3.0),) * 6,
    image_size=(320, 320),
)
"""The 3234 default boxes of torchvision's ssdlite320."""


class Ssd(nn.Module):
    """Maps of a backbone and predictors on each: normalised images -> `SsdOutputs`.

    backbone: float32 (B, 3, H, W), of the size that `default_boxes` says, to one map per level in a
    dict; head: torchvision's ``SSDHead`` or ``SSDLiteHead``. The names of the weights are those of
    torchvision's ``SSD``, whose published weights load as they are. mean, std: of the images'
    normalisation, on the scale 0 to 255. Raises ConfigError on images of another size.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        default_boxes: DefaultBoxSpec,
        normalisation: Normalisation = IMAGENET,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.default_boxes = default_boxes
        self.mean, self.std = normalisation

    def forward(self, images: Tensor) -> SsdOutputs:
        features = tuple(self.backbone(images).values())
        sizes = tuple((int(x.shape[2]), int(x.shape[3])) for x in features)
        if sizes != self.default_boxes.feature_maps:
            raise ConfigError(
                f"images of {tuple(images.shape[2:])} give maps of {sizes}: resize them to "
                f"{self.default_boxes.image_size or 'the size of the default boxes'}"
            )
        answers = self.head(list(features))
        return SsdOutputs(answers["cls_logits"], answers["bbox_regression"], features)


def from_torchvision(model: SSD) -> Ssd:
    """Return the network inside a detector of torchvision, without its pre- and post-processing.

    The modules are shared, not copied. The backbone runs once to learn the sizes of its maps.
    """
    size = model.transform.fixed_size
    weight = next(model.parameters())
    mode = model.training
    with torch.no_grad():
        image = torch.zeros(1, 3, size[1], size[0], device=weight.device, dtype=weight.dtype)
        maps = model.eval().backbone(image).values()
    model.train(mode)
    boxes = model.anchor_generator
    spec = DefaultBoxSpec(
        feature_maps=tuple((int(x.shape[2]), int(x.shape[3])) for x in maps),
        scales=tuple(float(scale) for scale in boxes.scales),
        aspect_ratios=tuple(tuple(float(r) for r in ratios) for ratios in boxes.aspect_ratios),
        steps=None if boxes.steps is None else tuple(float(step) for step in boxes.steps),
        image_size=(int(size[1]), int(size[0])),
        clip=bool(boxes.clip),
    )
    mean, std = (
        tuple(round(255.0 * value, 4) for value in values)
        for values in (model.transform.image_mean, model.transform.image_std)
    )
    return Ssd(model.backbone, model.head, spec, Normalisation(mean, std))


def ssd300_vgg16(classes: int, trunk: VGG | None = None) -> Ssd:
    """Return SSD300 on VGG16 (Liu et al. 2016).

    classes: kinds of objects, without background. trunk: the torchvision classifier whose
    convolutions it starts from; they are taken over, not copied. By default all is random.
    """
    features = (vgg16_trunk() if trunk is None else trunk).features
    channels = [512, 1024, 512, 256, 256, 256]
    head = SSDHead(channels, list(SSD300_BOXES.boxes_per_cell), classes + 1)
    return Ssd(SSDFeatureExtractorVGG(features, False), head, SSD300_BOXES, CAFFE)


def ssd300_resnet50(classes: int, trunk: ResNet | None = None) -> Ssd:
    """Return SSD300 on ResNet-50 with conv4 at stride 8 (NVIDIA's SSD300 v1.1).

    classes and trunk as for `ssd300_vgg16`.
    """
    backbone = ResNetSsdTrunk(resnet50() if trunk is None else trunk)
    head = SSDHead(backbone.out_channels, list(SSD300_BOXES.boxes_per_cell), classes + 1)
    return Ssd(backbone, head, SSD300_BOXES)


def ssdlite320_mobilenet_v2(classes: int, trunk: MobileNetV2 | None = None) -> Ssd:
    """Return SSDLite on MobileNetV2 (Sandler et al. 2018, section 6.2).

    classes and trunk as for `ssd300_vgg16`. Unlike the paper's, the finest level has six boxes per
    cell, as in torchvision's ssdlite320.
    """
    trunk = mobilenet_v2(norm_layer=ssdlite_norm) if trunk is None else trunk
    return _ssdlite320(classes, mobilenet_v2_trunk(trunk))


def ssdlite320_mobilenet_v3_large(classes: int, trunk: MobileNetV3 | None = None) -> Ssd:
    """Return SSDLite on MobileNetV3-Large (Howard et al. 2019, section 6.3).

    classes and trunk as for `ssd300_vgg16`. Without a trunk the last block has half the channels,
    as in the paper's table 6 and in torchvision's published weights.
    """
    if trunk is None:
        trunk = mobilenet_v3_large(norm_layer=ssdlite_norm, reduced_tail=True)
    return _ssdlite320(classes, mobilenet_v3_trunk(trunk))


def _ssdlite320(classes: int, backbone: SSDLiteFeatureExtractorMobileNet) -> Ssd:
    """Return a backbone with SSDLite's predictors."""
    expansion = backbone.features[0][-1].out_channels
    channels = [expansion, backbone.features[1][-1].out_channels]
    channels += [block[-1].out_channels for block in backbone.extra]
    cells = list(SSDLITE320_BOXES.boxes_per_cell)
    head = SSDLiteHead(channels, cells, classes + 1, ssdlite_norm)
    return Ssd(backbone, head, SSDLITE320_BOXES, CENTRED)


def vgg16_trunk() -> VGG:
    """Return VGG16's convolutions, initialised as torchvision's, without the large classifier."""
    with torch.device("meta"):
        network = VGG(nn.Identity(), init_weights=False)
    network.classifier = nn.Identity()
    network.features = make_layers(cfgs["D"])
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return network
