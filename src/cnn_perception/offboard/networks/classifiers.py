"""The classifiers that can be trained, by name: torchvision's, and LeNet-5."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
import torchvision
from torch import nn
from torch.func import functional_call
from torchvision.models import get_model, get_model_weights, list_models

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.networks.lenet import LeNet5
from cnn_perception.offboard.networks.normalisation import IMAGENET, Normalisation
from cnn_perception.offboard.networks.weights import load_best, read_weights
from cnn_perception.settings import Config, setting

__all__ = ["CLASSIFIERS", "ClassifierDesign", "ClassifierOptions", "design_classifier"]

_LENET = "lenet5"

CLASSIFIERS = (_LENET, *list_models(module=torchvision.models))
"""Names of the classifiers."""


@dataclass(frozen=True, slots=True)
class ClassifierOptions(Config):
    """Which classifier, for images of what size, and from what it starts."""

    name: str = setting("mobilenet_v3_small", "Classifier", choices=CLASSIFIERS)
    weights: str = setting(
        "none",
        "Starting weights: none, imagenet (torchvision's, downloaded once), or the path of a state "
        "dict with torchvision's names; the head fits only where the classes are as many",
    )
    image_width: int = setting(
        0, "Width of the input, pixels; 0 is the published one", between=(0, 2048)
    )
    image_height: int = setting(
        0, "Height of the input, pixels; 0 is the published one", between=(0, 2048)
    )


@dataclass(frozen=True, slots=True)
class ClassifierDesign:
    """What is known of a classifier before it is built.

    size: (width, height) of its input, pixels; shorter_side: of pictures whose middle it is shown.
    """

    options: ClassifierOptions
    size: tuple[int, int]
    shorter_side: int
    normalisation: Normalisation

    def build(self, classes: int) -> nn.Module:
        """Return the network: normalised float32 (B, 3, H, W) -> logits (B, classes).

        Raises ConfigError where it cannot take images of this size, ModelError for weights that are
        not to be had or do not fit.
        """
        options = self.options
        width, height = self.size
        if options.name == _LENET:
            network: nn.Module = LeNet5(classes)
            published = ""
        else:
            network = get_model(
                options.name, weights=None, num_classes=classes, **_extra(options.name, self.size)
            )
            published = str(get_model_weights(options.name).DEFAULT)
        try:
            _probe(network.eval(), width, height)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ConfigError(
                f"{options.name} cannot take images of {width}x{height}: set image_width and "
                "image_height to 0 for the published size"
            ) from error
        state = read_weights(options.weights, published)
        if state is not None:
            load_best(options.name, (network,), state, options.weights)
        return network.train()

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the last quarter of the layers that learn."""
        layers = [x for x in network.modules() if any(True for _ in x.parameters(recurse=False))]
        return layers[-((len(layers) + 3) // 4) :]

    def head(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the layer that answers."""
        return [x for x in network.modules() if isinstance(x, nn.Linear | nn.Conv2d)][-1:]


def design_classifier(section: Mapping[str, Any] | ClassifierOptions) -> ClassifierDesign:
    """Return the design that a plan's section ``network`` describes; raises ConfigError."""
    options = ClassifierOptions.from_mapping(section)
    side, shorter_side, normalisation = 32, 36, IMAGENET
    if options.name == _LENET:
        if options.weights == "imagenet":
            raise ConfigError(f"{_LENET} has no weights for ImageNet: choose none")
    else:
        preset = get_model_weights(options.name).DEFAULT.transforms()
        side, shorter_side = int(preset.crop_size[0]), int(preset.resize_size[0])
        mean, std = (tuple(round(255.0 * x, 4) for x in v) for v in (preset.mean, preset.std))
        normalisation = Normalisation(mean, std)
    size = (options.image_width or side, options.image_height or side)
    shorter_side = math.ceil(max(size) * shorter_side / side)
    return ClassifierDesign(options, size, shorter_side, normalisation)


def _probe(network: nn.Module, width: int, height: int) -> None:
    """Run a network on an image of that size without computing anything."""
    tensors = chain(network.named_parameters(), network.named_buffers())
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors}
    functional_call(network, shapes, torch.empty(1, 3, height, width, device="meta"))


def _extra(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return what a network's builder must be told besides the number of classes."""
    width, height = size
    if name in ("googlenet", "inception_v3"):
        # Their published weights were made for pixels from -1 to 1, which the network sees to.
        return {"aux_logits": False, "init_weights": True, "transform_input": True}
    if name.startswith("vit_"):
        if width != height:
            raise ConfigError(f"{name} takes square images: {width}x{height} is not")
        return {"image_size": width}
    if name == "maxvit_t":
        return {"input_size": (height, width)}
    return {}
