"""Images found by gradient descent: the one optimiser behind inversion, maximisation and style."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.optimisation_config import ImageOptimisationConfig
from cnn_perception.types import Float64Array

__all__ = [
    "ImageOptimisationConfig",
    "OptimisedImage",
    "Progress",
    "noise",
    "optimise_image",
    "total_variation",
]

_BLURRED = 4
"""Steps from blur to blur, as in Yosinski et al. 2015."""

Terms = Callable[[Tensor], Mapping[str, Tensor]]
"""Of an image (1, 3, H, W): the terms, by name, whose sum is to become small."""
Progress = Callable[[int, float], object]
"""Is told each step, from 0 on, and the loss before it."""


@dataclass(frozen=True, slots=True)
class OptimisedImage:
    """An image that was found.

    image: normalised float32 (1, 3, H, W). losses: of each term, with its weight, float64
    (steps + 1,): before each step, and in the end. snapshots: images by the number of steps done.
    """

    image: Tensor
    losses: Mapping[str, Float64Array]
    snapshots: Mapping[int, Tensor]

    @property
    def total(self) -> Float64Array:
        """The sum of the terms, float64 (steps + 1,)."""
        return np.sum(list(self.losses.values()), axis=0)


def noise(size: tuple[int, int], seed: int = 0, deviation: float = 0.1) -> Tensor:
    """Return normal noise about the mean color, a normalised image float32 (1, 3, *size)."""
    generator = torch.Generator().manual_seed(seed)
    return deviation * torch.randn(1, 3, *size, generator=generator)


def total_variation(image: Tensor) -> Tensor:
    """Return the squared differences between neighbours, summed up, per value of the image.

    For x (1, C, H, W) it is sum (x_i+1,j - x_ij)^2 + (x_i,j+1 - x_ij)^2 over C H W (Mahendran and
    Vedaldi 2015, section 3, with their beta = 2).
    """
    down = (image[:, :, 1:] - image[:, :, :-1]).square().sum()
    across = (image[:, :, :, 1:] - image[:, :, :, :-1]).square().sum()
    return (down + across) / image.numel()


def optimise_image(
    terms: Terms,
    start: Tensor,
    config: ImageOptimisationConfig,
    limits: tuple[Tensor, Tensor] | None = None,
    progress: Progress = lambda step, loss: None,
) -> OptimisedImage:
    """Return the image that gradient descent (Adam) makes of `start` to lessen a sum of terms.

    start: normalised (1, 3, H, W), left as it is. limits: least and greatest values, which
    broadcast to it; the image is kept between them. Equal arguments give equal images; the torch
    random state is left as it was. Raises ConfigError for snapshots at steps that are not taken,
    and when the loss is not finite any more.
    """
    beyond = [step for step in config.snapshots if not 0 <= step <= config.steps]
    if beyond:
        raise ConfigError(f"snapshots = {beyond[0]}: give steps of 0 to {config.steps}")
    generator = torch.Generator().manual_seed(config.seed)
    losses: dict[str, list[float]] = defaultdict(list)
    snapshots: dict[int, Tensor] = {}
    with torch.inference_mode(False), torch.enable_grad():
        image = _kept(start.detach().clone(), limits)
        adam = torch.optim.Adam([image], config.rate)
        for step in range(config.steps + 1):
            if step in config.snapshots:
                snapshots[step] = image.clone()
            jitter = config.jitter if step < config.steps else 0
            leaf = image.clone().requires_grad_()
            shifted = leaf.roll(_shift(jitter, generator), (2, 3))
            parts = {**terms(shifted), **_regularisers(leaf, config)}
            for name, value in parts.items():
                losses[name].append(float(value.detach()))
            loss = sum(values[-1] for values in losses.values())
            if not math.isfinite(loss):
                raise ConfigError(
                    f"the loss is {loss} after {step} steps at rate = {config.rate:g}: give a "
                    "smaller rate"
                )
            progress(step, loss)
            if step < config.steps:
                (image.grad,) = torch.autograd.grad(sum(parts.values()), leaf)
                cooling = (1 + math.cos(math.pi * step / config.steps)) / 2
                adam.param_groups[0]["lr"] = config.rate * cooling
                adam.step()
                if config.blur and step % _BLURRED == _BLURRED - 1:
                    # At its first strength it would wipe off what ever smaller steps draw.
                    _blur(image, config.blur, cooling)
                _kept(image, limits)
    arrays = {name: np.array(values) for name, values in losses.items()}
    return OptimisedImage(image, arrays, snapshots)


def _regularisers(image: Tensor, config: ImageOptimisationConfig) -> dict[str, Tensor]:
    """Return the terms that do not depend on a network, those that have a weight."""
    terms = {}
    if config.tv:
        terms["total variation"] = config.tv * total_variation(image)
    if config.decay:
        terms["decay"] = config.decay * image.square().mean()
    return terms


def _shift(most: int, generator: torch.Generator) -> list[int]:
    return torch.randint(-most, most + 1, (2,), generator=generator).tolist()


def _blur(image: Tensor, deviation: float, share: float) -> None:
    """Blur an image in place by a share of a standard deviation, over a window for all of it."""
    reach = min(math.ceil(3 * deviation), min(image.shape[2:]) - 1)
    image.copy_(gaussian_blur(image, 2 * reach + 1, share * deviation))


def _kept(image: Tensor, limits: tuple[Tensor, Tensor] | None) -> Tensor:
    """Clamp an image in place."""
    return image if limits is None else image.clamp_(*limits)
