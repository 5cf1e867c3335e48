"""Names that papers give to layers which torchvision only numbers."""

from __future__ import annotations

from torch import nn
from torchvision.models import VGG, AlexNet, ResNet

__all__ = ["published_names"]


def published_names(network: nn.Module) -> dict[str, str]:
    """Return the dotted names of layers by their published ones, empty for other networks.

    VGG (Simonyan and Zisserman 2015) and AlexNet (Krizhevsky et al. 2012) as in Caffe: conv3_1 is
    the convolution's own answer, relu3_1 what its ReLU passes on; pool3, fc6, relu6. ResNet (He et
    al. 2016, table 1): conv3_x is a stage, conv3_1 its first block.
    """
    if isinstance(network, VGG | AlexNet):
        return _of_sequence(network, blocks=isinstance(network, VGG))
    if isinstance(network, ResNet):
        stages = {k: getattr(network, f"layer{k}") for k in range(1, 5)}
        names = {f"conv{k + 1}_x": f"layer{k}" for k in stages}
        for k, stage in stages.items():
            names |= {
                f"conv{k + 1}_{block + 1}": f"layer{k}.{block}" for block in range(len(stage))
            }
        return names
    return {}


def _of_sequence(network: VGG | AlexNet, *, blocks: bool) -> dict[str, str]:
    """Count convolutions, pools and linear layers; with blocks, pools begin the next block."""
    names: dict[str, str] = {}
    block = number = 1
    at = ""
    for dotted, module in network.features.named_modules(prefix="features"):
        if isinstance(module, nn.Conv2d):
            at = f"{block}_{number}" if blocks else str(number)
            names[f"conv{at}"] = dotted
            number += 1
        elif isinstance(module, nn.ReLU):
            names[f"relu{at}"] = dotted
        elif isinstance(module, nn.MaxPool2d):
            names[f"pool{block if blocks else at}"] = dotted
            if blocks:
                block, number = block + 1, 1
    number = 6  # in both networks
    for dotted, module in network.classifier.named_modules(prefix="classifier"):
        if isinstance(module, nn.Linear):
            names[f"fc{number}"] = dotted
            number += 1
        elif isinstance(module, nn.ReLU):
            names[f"relu{number - 1}"] = dotted
    return names
