"""Feature maps for SSD that torchvision has no extractor for; its own are used where they fit."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn
from torchvision.models import MobileNetV2, MobileNetV3, ResNet
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet

__all__ = ["ResNetSsdTrunk", "mobilenet_v2_trunk", "mobilenet_v3_trunk", "ssdlite_norm"]

ssdlite_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
"""The normalisation of SSDLite in TensorFlow and torchvision."""

_EXTRA_LEVELS = (
    # middle and output channels, stride, padding
    (256, 512, 2, 1),
    (256, 512, 2, 1),
    (128, 256, 2, 1),
    (128, 256, 1, 0),
    (128, 256, 1, 0),
)


class ResNetSsdTrunk(nn.Module):
    """ResNet-50 up to conv4, at stride 8, and five levels on top: NVIDIA's SSD300 v1.1.

    conv4 keeps the resolution of conv3, conv5 is left out. Input: float32 (B, 3, 300, 300);
    output: maps of 38, 19, 10, 5, 3 and 1 cells. resnet: a torchvision ResNet with bottlenecks; its
    layers are taken over, not copied.
    """

    def __init__(self, resnet: ResNet) -> None:
        super().__init__()
        first = resnet.layer3[0]
        first.conv2.stride = (1, 1)
        first.downsample[0].stride = (1, 1)
        self.features = nn.Sequential(
            OrderedDict(
                (name, getattr(resnet, name))
                for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
            )
        )
        self.out_channels = [resnet.layer3[-1].bn3.num_features]
        self.extra = nn.ModuleList()
        for middle, outputs, stride, padding in _EXTRA_LEVELS:
            self.extra.append(_extra(self.out_channels[-1], middle, outputs, stride, padding))
            self.out_channels.append(outputs)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = [self.features(images)]
        for block in self.extra:
            maps.append(block(maps[-1]))
        return OrderedDict((str(level), x) for level, x in enumerate(maps))


def _extra(inputs: int, middle: int, outputs: int, stride: int, padding: int) -> nn.Sequential:
    """Return a 1x1 and a 3x3 convolution, each with normalisation and ReLU."""
    block = nn.Sequential(
        nn.Conv2d(inputs, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, outputs, 3, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
    for layer in (block[0], block[3]):
        nn.init.xavier_uniform_(layer.weight)
    return block


def mobilenet_v2_trunk(network: MobileNetV2) -> SSDLiteFeatureExtractorMobileNet:
    """Return torchvision's SSDLite extractor on a MobileNetV2, which it was not written for.

    Levels, as in TensorFlow's SSDLite: the expansion of the last halving block (576 channels at
    stride 16), the last convolution (1280 at stride 32), and four blocks of stride 2 (512, 256, 256
    and 128). The network's layers are taken over, not copied.
    """
    blocks = network.features
    # MobileNetV3 calls the layers of a block `block`, MobileNetV2 calls them `conv`. The extractor
    # takes them out of the block, which it does not keep.
    halving = blocks[_last_halving(blocks)]
    halving.block = halving.conv
    extractor = SSDLiteFeatureExtractorMobileNet(blocks, _last_halving(blocks), ssdlite_norm)
    del halving.block
    return extractor


def mobilenet_v3_trunk(network: MobileNetV3) -> SSDLiteFeatureExtractorMobileNet:
    """Return torchvision's SSDLite extractor on a MobileNetV3; see `mobilenet_v2_trunk`."""
    blocks = network.features
    return SSDLiteFeatureExtractorMobileNet(blocks, _last_halving(blocks), ssdlite_norm)


def _last_halving(blocks: nn.Sequential) -> int:
    """Return the index of the last inverted residual with stride 2."""
    return max(i for i, block in enumerate(blocks) if getattr(block, "_is_cn", False))
