"""A network to look into, opened by its name, with the pictures it takes and the words it knows."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.image.preprocess import InputSpec, Placement, Preprocessor
from cnn_perception.offboard.explain_methods.hooks import examined
from cnn_perception.offboard.networks.classifiers import CLASSIFIERS, design_classifier
from cnn_perception.offboard.networks.detectors import DETECTORS, design_detector
from cnn_perception.offboard.networks.weights import read_weights
from cnn_perception.types import UInt8Array

__all__ = ["OpenNetwork", "open_network", "randomise"]

_log = logging.getLogger(__name__)

_NAMES = (*CLASSIFIERS, *(name for name in DETECTORS if "fpn" not in name))
_COCO = 90
"""Classes of a detector without weights."""


@dataclass(frozen=True, slots=True)
class OpenNetwork:
    """A network in evaluation mode.

    spec: the size, the cut and the normalisation of its input. labels: name of each class id, empty
    where none are known.
    """

    name: str
    network: nn.Module
    spec: InputSpec
    labels: tuple[str, ...] = ()

    def prepare(self, rgb: UInt8Array) -> tuple[Tensor, Placement]:
        """Return normalised float32 (1, 3, H, W) of RGB uint8 (h, w, 3), and where what lies."""
        values, placement = Preprocessor(self.spec)(rgb)
        return torch.from_numpy(values), placement

    def of_size(self, side: int) -> OpenNetwork:
        """Return the same network, which is now shown pictures whose shorter side is `side` pixels.

        The proportions of its input stay. Raises ConfigError where it cannot take that size.
        """
        spec = self.spec
        scale = side / min(spec.width, spec.height)
        shorter = None if spec.shorter_side is None else math.ceil(scale * spec.shorter_side)
        width, height = round(scale * spec.width), round(scale * spec.height)
        sized = replace(spec, width=width, height=height, shorter_side=shorter)
        try:
            self.answer(torch.zeros(1, 3, height, width))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ConfigError(
                f"size = {side}: {self.name} cannot take images of {width}x{height}, its own are "
                f"{spec.width}x{spec.height}"
            ) from error
        return replace(self, spec=sized)

    def limits(self) -> tuple[Tensor, Tensor]:
        """Return what normalised black and white are: float32 (3, 1, 1) each."""
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (self.spec.mean, self.spec.std))
        return -mean / std, (255 - mean) / std

    def picture(self, images: Tensor) -> UInt8Array:
        """Return what one normalised image (1, 3, H, W) shows, RGB uint8 (H, W, 3)."""
        black, white = self.limits()
        levels = (255 * (images[0] - black) / (white - black)).round().clamp(0, 255)
        pixels = levels.to(torch.uint8).permute(1, 2, 0).numpy()
        return np.ascontiguousarray(pixels if self.spec.channels == "rgb" else pixels[:, :, ::-1])

    def answer(self, images: Tensor) -> Any:
        """Return what the network says of prepared images, without gradients."""
        with examined(self.network), torch.no_grad():
            return self.network(images.clone())

    def label(self, class_id: int) -> str:
        """Return the name of a class."""
        known = 0 <= class_id < len(self.labels)
        return self.labels[class_id] if known else f"class {class_id}"

    def class_id(self, target: str) -> int | None:
        """Return the class of a name or number, None for the empty text.

        Raises ConfigError for a name that is none; whether there is such a number, the network's
        answer will tell.
        """
        if not target:
            return None
        if target in self.labels:
            return self.labels.index(target)
        if target.isdecimal():
            return int(target)
        near = [label for label in self.labels if target.lower() in label.lower()]
        hint = ", ".join((near or list(self.labels))[:8]) or "a number"
        raise ConfigError(f"target = {target!r} is no class of {self.name}: choose one, as {hint}")


def open_network(name: str, weights: str = "none") -> OpenNetwork:
    """Open a classifier or a published SSD by name.

    weights: "none" fills it at random (see `randomise`), always in the same way; "imagenet" takes
    torchvision's, which are downloaded once, for classifiers; else the path of a state dict with
    torchvision's names, for the whole network. The torch random state is left as it was. Raises
    ConfigError for an unknown name, ModelError for weights that are not to be had or leave a part
    of the network without.
    """
    if name not in _NAMES:
        near = [known for known in _NAMES if name.split("_")[0][:4] in known] or list(_NAMES)
        raise ConfigError(f"network = {name!r} is unknown: choose one, as {', '.join(near[:12])}")
    with torch.random.fork_rng(devices=[]):
        opened = (_open_classifier if name in CLASSIFIERS else _open_detector)(name, weights)
    if weights == "none":
        _log.warning("%s has random weights: it has learnt nothing; give weights", name)
        size = (opened.spec.height, opened.spec.width)
        randomise(opened.network, torch.Size((2, 3, *size)))
    return opened


def randomise(network: nn.Module, shape: torch.Size, seed: int = 0) -> None:
    """Fill a network at random so that something of an image reaches its end.

    Convolutions and linear layers are drawn as by He et al. 2015; batch normalisation then takes
    the statistics of noise of the given shape. The torch random state is left as it was.
    """
    norms = [x for x in network.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    module.bias.zero_()
        network.eval()
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        try:
            network(torch.randn(shape))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            network.eval()


def _open_classifier(name: str, weights: str) -> OpenNetwork:
    labels: Sequence[str] = ()
    classes = _classes_in(weights) or (10 if name == "lenet5" else 1000)
    if name != "lenet5":
        published = get_model_weights(name).DEFAULT.meta.get("categories", ())
        labels = published if len(published) == classes else ()
    design = design_classifier({"name": name, "weights": weights})
    network = design.build(classes).eval()
    _check_filled(network, weights)
    width, height = design.size
    spec = InputSpec(
        "images",
        width,
        height,
        "rgb",
        "crop",
        *design.normalisation,
        shorter_side=design.shorter_side,
    )
    return OpenNetwork(name, network, spec, tuple(labels))


def _open_detector(name: str, weights: str) -> OpenNetwork:
    if weights == "imagenet":
        raise ConfigError(
            f"{name} with weights = imagenet would have a random head: give none, or the state "
            "dict of a trained detector"
        )
    design = design_detector({"name": name, "weights": weights})
    network = design.build(_COCO).eval()
    _check_filled(network, weights)
    width, height = design.size
    spec = InputSpec("images", width, height, "rgb", "stretch", *design.normalisation)
    return OpenNetwork(name, network, spec)


def _classes_in(weights: str) -> int:
    """Return the outputs of the last layer in a file of weights, 0 where there is no file."""
    if weights in ("none", "imagenet"):
        return 0
    state = read_weights(weights, "") or {}
    matrices = [tensor for tensor in state.values() if tensor.dim() in (2, 4)]
    return len(matrices[-1]) if matrices else 0


def _check_filled(network: nn.Module, weights: str) -> None:
    """Raise ModelError when a file has not all that a network learns."""
    if weights in ("none", "imagenet"):
        return
    given = read_weights(weights, "") or {}
    for name, tensor in network.named_parameters():
        if name not in given or given[name].shape != tensor.shape:
            raise ModelError(
                f"weights = {weights!r} does not fill {name} of shape {tuple(tensor.shape)}: give "
                "the state dict of the whole network"
            )
