"""What layers answer to an image that is still being changed: features, with their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.hooks import hooked, the_tensor
from cnn_perception.offboard.explain_methods.layers import find_layer

__all__ = ["features", "gram_matrices", "relative_distance"]


def features(network: nn.Module, layers: Sequence[str], images: Tensor) -> list[Tensor]:
    """Return what each of some layers answers to normalised images (B, 3, H, W).

    Gradients reach the images. The network runs no further than the last of the layers; of one that
    runs several times it is the first answer. layers: dotted or published names. Raises ConfigError
    for one that does not exist, has no part in the network's answer or answers with more than one
    tensor.
    """
    names = [find_layer(network, layer) for layer in layers]
    modules = {name: network.get_submodule(name) for name in names}
    answers: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        name = next(name for name, other in modules.items() if other is module)
        answers.setdefault(module, the_tensor(output, name))
        if all(other in answers for other in modules.values()):
            raise _Complete
        return output.clone()  # the next layer may work in place

    try:
        with hooked(set(modules.values()), keep):
            network(images.clone())
    except _Complete:
        return [answers[modules[name]] for name in names]
    lacking = next(name for name in names if modules[name] not in answers)
    raise ConfigError(f"layer {lacking} has no part in the answer: choose another")


class _Complete(Exception):
    """All layers have answered."""


def relative_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return the mean over layers of |found - wanted|^2 / |wanted|^2, the norms Euclidean.

    What is wanted to be all zeros counts as of norm 1.
    """
    distances = [
        (one - other).square().sum() / (float(other.square().sum()) or 1.0)
        for one, other in zip(found, wanted, strict=True)
    ]
    return sum(distances[1:], distances[0]) / len(distances)


def gram_matrices(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return G = F F^T / (h w), float32 (K, K), of each layer's feature maps F (1, K, h, w).

    It says which channels answer together, and not where (Gatys et al. 2015, equation 1, over the
    number of places, so that images of different sizes can be compared). Raises ConfigError for
    answers that are no maps.
    """
    for answer in maps:
        if answer.dim() != 4:
            raise ConfigError(
                f"a layer of a texture answers with shape {tuple(answer.shape)}, not with maps "
                "(1, K, h, w): choose convolutions or what follows them"
            )
    flat = [answer[0].flatten(1) for answer in maps]
    return [rows @ rows.T / rows.shape[1] for rows in flat]
