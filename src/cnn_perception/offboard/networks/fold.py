"""Batch normalisation folded into the convolutions before it."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, Bottleneck

__all__ = ["folded"]

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """Return a copy, in evaluation mode, whose convolutions do their normalisation's work.

    A normalisation is folded where it directly follows a convolution in an ``nn.Sequential``, and
    in torchvision's residual blocks. No layer of the copy works in place and none is trainable.
    """
    result = copy.deepcopy(network).eval().requires_grad_(False)
    for module in result.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                first, second = module[index], module[index + 1]
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(first, second)
                    module[index + 1] = nn.Identity()
        elif isinstance(module, BasicBlock | Bottleneck):
            _fold_block(module)
    return result


def _fold_block(block: nn.Module) -> None:
    """Fold bn1 into conv1 and so on, which is the order that a residual block calls them in."""
    for name, layer in list(block.named_children()):
        if isinstance(layer, nn.BatchNorm2d):
            number = name.removeprefix("bn")
            fused = fuse_conv_bn_eval(getattr(block, f"conv{number}"), layer)
            setattr(block, f"conv{number}", fused)
            setattr(block, name, nn.Identity())
