"""Layers of a network by their dotted names, as in ``features.14.conv``."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.explain.methods.hooks import examined

__all__ = ["check_layer", "convolutions", "last_map_layer"]

_LISTED = 12


def convolutions(network: nn.Module) -> list[str]:
    """Return the names of the convolution layers, from the image on."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]


def check_layer(network: nn.Module, name: str) -> None:
    """Raise ConfigError when a network has no layer of this name; it lists some that there are."""
    names = [other for other, _ in network.named_modules() if other]
    if name in names:
        return
    known = convolutions(network)
    near = get_close_matches(name, names, n=4, cutoff=0.6)
    # Of the rest the last, which are those that are mostly asked for.
    listed = [*near, *(x for x in reversed(known) if x not in near)][:_LISTED]
    more = len(set(known) - set(listed))
    raise ConfigError(
        f"layer = {name!r} is not in the network: choose one, as {', '.join(listed)}"
        + (f", or one of {more} more convolutions" if more else "")
    )


def last_map_layer(network: nn.Module, images: Tensor) -> str:
    """Return the name of the layer whose feature maps are the last ones of a classifier.

    images: float32 (B, 3, H, W). It is the outermost module that answers with maps larger than one
    pixel, pooling left aside: ``layer4`` of a ResNet, ``features`` of a MobileNet. Raises
    ConfigError for a network whose answer is not class logits (B, C), where none is the last.
    """
    names = {module: name for name, module in network.named_modules()}
    found: list[str] = []

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        pools = isinstance(module, nn.AdaptiveAvgPool2d | nn.AvgPool2d)
        has_maps = isinstance(output, Tensor) and output.dim() == 4
        if has_maps and output[0, 0].numel() > 1 and not pools:
            found.append(names[module])

    handles = [module.register_forward_hook(note) for module in names]
    try:
        with examined(network), torch.no_grad():
            answer = network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(answer, Tensor) or answer.dim() != 2 or not found:
        raise ConfigError(
            "this network has no last feature maps: name a layer, as "
            f"{', '.join(convolutions(network)[-3:])}"
        )
    return found[-1]
