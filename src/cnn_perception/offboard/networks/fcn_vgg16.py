"""FCN-32s, FCN-16s and FCN-8s on VGG16 (Long, Shelhamer and Darrell 2015).

The geometry is that of the published Caffe networks: the image gets a border of 100 pixels, so
that fc6, a 7x7 convolution without padding, fits images of any size; finer maps and the output are
cropped at fixed offsets to what lies on top of each other. Layers carry the published names, so
that a finer network starts from a coarser one with ``load_state_dict(..., strict=False)``, as in
the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import VGG, vgg16

from cnn_perception.errors import ConfigError

__all__ = ["FcnVgg16", "bilinear_kernel", "bilinear_upsampling"]

_BORDER = 100
_KERNEL = 7
_POOL4_OFFSET = 5
_POOL3_OFFSET = 9
_OUTPUT_OFFSETS = {32: 19, 16: 27, 8: 31}
"""Where the image begins in the enlarged scores, by the stride of the finest map that is used."""


class FcnVgg16(nn.Module):
    """A fully convolutional VGG: normalised float32 (B, 3, H, W) -> logits (B, classes, H, W).

    classes: labels of the mask, background included. stride: 32, 16 or 8, of the finest scores.
    trunk: the torchvision VGG classifier that it starts from, randomly initialised by default. Its
    layers are taken over, not copied: fc6 and fc7 become convolutions with the same weights. New
    scores start at zero and transposed convolutions as bilinear interpolation, both learn.
    Raises ConfigError for another stride.
    """

    def __init__(self, classes: int, stride: int, trunk: VGG | None = None) -> None:
        super().__init__()
        if stride not in _OUTPUT_OFFSETS:
            raise ConfigError(f"FCN with stride {stride}: choose 32, 16 or 8")
        trunk = vgg16() if trunk is None else trunk
        self.stride = stride
        self.features = trunk.features
        self.features[0].padding = (_BORDER, _BORDER)
        self._pools = [
            i for i, layer in enumerate(trunk.features) if isinstance(layer, nn.MaxPool2d)
        ]
        for index in self._pools:
            # Caffe rounds sizes up; the offsets rely on it.
            self.features[index].ceil_mode = True
        self.fc6 = _convolution(trunk.classifier[0], _KERNEL)
        self.fc7 = _convolution(trunk.classifier[3], 1)
        self.dropout = nn.Dropout2d()
        self.score_fr = _score(self.fc7.out_channels, classes)
        if stride < 32:
            self.upscore2 = bilinear_upsampling(classes, 2)
            self.score_pool4 = _score(self._channels(3), classes)
        if stride < 16:
            self.upscore_pool4 = bilinear_upsampling(classes, 2)
            self.score_pool3 = _score(self._channels(2), classes)
        self.add_module(f"upscore{stride}", bilinear_upsampling(classes, stride))

    def forward(self, images: Tensor) -> Tensor:
        pools = []
        x = images
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self._pools:
                pools.append(x)
        x = self.dropout(self.fc6(x).relu())
        x = self.dropout(self.fc7(x).relu())
        scores: Tensor = self.score_fr(x)
        if self.stride < 32:
            x = self.upscore2(scores)
            scores = x + _cropped(self.score_pool4(pools[3]), _POOL4_OFFSET, x)
        if self.stride < 16:
            x = self.upscore_pool4(scores)
            scores = x + _cropped(self.score_pool3(pools[2]), _POOL3_OFFSET, x)
        scores = self.get_submodule(f"upscore{self.stride}")(scores)
        return _cropped(scores, _OUTPUT_OFFSETS[self.stride], images)

    def _channels(self, pool: int) -> int:
        """Return the channels of a pooled map: of the last convolution before it."""
        before = self.features[: self._pools[pool]]
        return [layer.out_channels for layer in before if isinstance(layer, nn.Conv2d)][-1]


def bilinear_kernel(factor: int) -> Tensor:
    """Return float32 (2 factor, 2 factor): weights that enlarge an image `factor` times.

    They are those of bilinear interpolation between pixel centres; `factor` is even.
    """
    size = 2 * factor
    distance = (torch.arange(size, dtype=torch.float32) - (size - 1) / 2).abs()
    row = 1 - distance / factor
    return row[:, None] * row[None, :]


def bilinear_upsampling(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Return a transposed convolution that starts as bilinear interpolation of each channel.

    Output (B, channels, (h + 1) * factor, (w + 1) * factor): the border reaches half a cell beyond
    the outermost centres, and fades to zero.
    """
    layer = nn.ConvTranspose2d(channels, channels, 2 * factor, factor, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        diagonal = torch.arange(channels)
        layer.weight[diagonal, diagonal] = bilinear_kernel(factor)
    return layer


def _convolution(linear: nn.Linear, kernel: int) -> nn.Conv2d:
    """Return a linear layer as the convolution that does its work at every place."""
    inputs = linear.in_features // kernel**2
    layer = nn.Conv2d(inputs, linear.out_features, kernel, device="meta")
    layer.weight = nn.Parameter(linear.weight.detach().view(layer.weight.shape))
    layer.bias = nn.Parameter(linear.bias.detach())
    return layer


def _score(channels: int, classes: int) -> nn.Conv2d:
    """Return a 1x1 convolution to class scores that starts at zero."""
    layer = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _cropped(x: Tensor, offset: int, like: Tensor) -> Tensor:
    """Return the part of `x` from `offset` on, of the height and width of `like`."""
    height, width = like.shape[-2:]
    return x[..., offset : offset + height, offset : offset + width]
