"""Layers of a network by their dotted names, as in ``features.14.conv``."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import VGG, AlexNet, ResNet

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.hooks import examined, hooked
from cnn_perception.offboard.explain_methods.targets import Target

__all__ = [
    "check_layer",
    "convolutions",
    "find_layer",
    "find_layers",
    "last_map_layer",
    "published_names",
]

_LISTED = 12


def convolutions(network: nn.Module) -> list[str]:
    """Return the names of the convolution layers, from the image on."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]


def check_layer(network: nn.Module, name: str) -> None:
    """Raise ConfigError when a network has no layer of this name; it lists some that there are."""
    names = [other for other, _ in network.named_modules() if other]
    if name in names:
        return
    published = published_names(network)
    words = {dotted: word for word, dotted in published.items()}
    names = [*published, *names]
    known = [words.get(other, other) for other in convolutions(network)]
    near = get_close_matches(name, names, n=4, cutoff=0.6)
    # Of the rest the last, which are those that are mostly asked for.
    listed = [*near, *(x for x in reversed(known) if x not in near)][:_LISTED]
    more = len(set(known) - set(listed))
    raise ConfigError(
        f"layer = {name!r} is not in the network: choose one, as {', '.join(listed)}"
        + (f", or one of {more} more convolutions" if more else "")
    )


def find_layer(network: nn.Module, name: str) -> str:
    """Return the dotted name of a layer that is given by it, or by its published name (conv3_1).

    Raises ConfigError as `check_layer` does.
    """
    dotted = published_names(network).get(name, name)
    check_layer(network, dotted)
    return dotted


def find_layers(network: nn.Module, names: Sequence[str]) -> list[str]:
    """Return the dotted names of layers, each once; raises ConfigError as `find_layer` does."""
    return list(dict.fromkeys(find_layer(network, name) for name in names))


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


def last_map_layer(network: nn.Module, images: Tensor, target: Target) -> str:
    """Return the name of the layer whose feature maps are the last ones that speak for a target.

    images: one, float32 (1, 3, H, W). Of a classifier it is the outermost module that answers with
    maps as large as those of a convolution, and larger than one pixel, pooling left aside:
    ``layer4`` of a ResNet, ``features`` of a MobileNet. Of other networks it is what is read by the
    last convolution that the target depends on, for a detector thus by the head of the level that
    found the box. Raises ConfigError where there is none.
    """
    names = {module: name for name, module in network.named_modules()}
    answers: list[_Answer] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.is_floating_point():
            answers.append(_Answer(module, inputs, output))

    with hooked(names, note), examined(network):
        answer = network(images.detach().requires_grad_().clone())
        if isinstance(answer, Tensor) and answer.dim() == 2:
            answers = _of_convolutions(answers)
        else:
            answers = _before_the_prediction(answers, target(answer).sum())
    found = [names[x.module] for x in answers if x.output[0, 0].numel() > 1]
    if not found:
        raise ConfigError(
            "this network has no last feature maps: name a layer, as "
            f"{', '.join(convolutions(network)[-3:])}"
        )
    return found[-1]


class _Answer(NamedTuple):
    """What a module answered with maps."""

    module: nn.Module
    inputs: tuple[Any, ...]
    output: Tensor


def _of_convolutions(answers: list[_Answer]) -> list[_Answer]:
    """Return the answers that are maps of a convolution's size, averages left aside.

    Others with four axes may be anything: attention, or maps whose channels come last.
    """
    sizes = {x.output.shape[2:] for x in answers if isinstance(x.module, nn.Conv2d)}
    pools = (nn.AdaptiveAvgPool2d, nn.AvgPool2d)
    return [x for x in answers if x.output.shape[2:] in sizes and not isinstance(x.module, pools)]


def _before_the_prediction(answers: list[_Answer], value: Tensor) -> list[_Answer]:
    """Return the answers that are behind what is read by the last convolution for a value."""
    predictions = [x for x in _behind(value, answers) if isinstance(x.module, nn.Conv2d)]
    return _behind(predictions[-1].inputs[0].sum(), answers) if predictions else []


def _behind(value: Tensor, answers: list[_Answer]) -> list[_Answer]:
    """Return the answers that a value changes with; of a constant 0, those that it is made of.

    Such is the sum over the region of a class that is nowhere.
    """
    outputs = [x.output for x in answers]
    gradients = torch.autograd.grad(value, outputs, retain_graph=True, allow_unused=True)
    parts = [(x, g) for x, g in zip(answers, gradients, strict=True) if g is not None]
    return [x for x, g in parts if bool(g.any())] or [x for x, _ in parts]
