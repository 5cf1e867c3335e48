"""Texture synthesis and style transfer: images whose channels answer together as in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.explain_methods.features import (
    features,
    gram_matrices,
    relative_distance,
)
from cnn_perception.offboard.explain_methods.hooks import examined, hooked
from cnn_perception.offboard.explain_methods.image_optimisation import (
    ImageOptimisationConfig,
    OptimisedImage,
    Progress,
    noise,
    optimise_image,
)
from cnn_perception.offboard.explain_methods.layers import published_names

__all__ = ["style_layers", "synthesise_texture", "transfer_style"]


def synthesise_texture(
    network: nn.Module,
    layers: Sequence[str],
    texture: Tensor,
    config: ImageOptimisationConfig | None = None,
    *,
    limits: tuple[Tensor, Tensor] | None = None,
    progress: Progress = lambda step, loss: None,
) -> OptimisedImage:
    """Return an image, found from noise, with the texture of a given one (Gatys et al. 2015).

    It lessens |G(x) - G(x0)|^2 / |G(x0)|^2 of the layers' Gram matrices, averaged over the layers
    (term "style"). The paper has 1 / (4 N^2 M^2) instead of the norm, which makes layers count as
    much as their answers are large. texture: x0, normalised float32 (1, 3, H, W), whose size the
    result has; the others: as of `invert`.
    """
    config = config or ImageOptimisationConfig()
    with examined(network):
        with torch.no_grad():
            wanted = gram_matrices(features(network, layers, texture))

        def terms(image: Tensor) -> Mapping[str, Tensor]:
            found = gram_matrices(features(network, layers, image))
            return {"style": relative_distance(found, wanted)}

        return optimise_image(
            terms, noise(texture.shape[2:], config.seed), config, limits, progress
        )


def transfer_style(
    network: nn.Module,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    content: Tensor,
    style: Tensor,
    config: ImageOptimisationConfig | None = None,
    *,
    weight: float = 10.0,
    limits: tuple[Tensor, Tensor] | None = None,
    progress: Progress = lambda step, loss: None,
) -> OptimisedImage:
    """Return an image with the content of one and the style of another (Gatys et al. 2016).

    It lessens the distance of `invert` to the content (term "content") and `weight` times that of
    `synthesise_texture` to the style (term "style"), beginning with the content. content, style:
    normalised float32 (1, 3, H, W), of any two sizes; the result has that of the content.
    """
    config = config or ImageOptimisationConfig()
    with examined(network):
        with torch.no_grad():
            wanted = features(network, content_layers, content)
            grams = gram_matrices(features(network, style_layers, style))

        def terms(image: Tensor) -> Mapping[str, Tensor]:
            answers = features(network, [*content_layers, *style_layers], image)
            maps = answers[len(content_layers) :]
            return {
                "content": relative_distance(answers[: len(content_layers)], wanted),
                "style": weight * relative_distance(gram_matrices(maps), grams),
            }

        return optimise_image(terms, content, config, limits, progress)


def style_layers(network: nn.Module, images: Tensor) -> list[str]:
    """Return the names of the layers whose maps make the style of normalised images (B, 3, H, W).

    They are the first activations (ReLU ...) of each resolution, as relu1_1, relu2_1 ... of VGG
    (Gatys et al. 2016, section 2.2); where activations are no modules, the first convolutions.
    Names are published ones where there are any. Raises ConfigError for a network without either.
    """
    words = {dotted: word for word, dotted in published_names(network).items()}
    names = {module: words.get(name, name) for name, module in network.named_modules()}
    activations: dict[torch.Size, str] = {}
    convolutions: dict[torch.Size, str] = {}

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output[0, 0].numel() > 1:
            if type(module).__module__ == nn.ReLU.__module__:
                activations.setdefault(output.shape[2:], names[module])
            elif isinstance(module, nn.Conv2d):
                convolutions.setdefault(output.shape[2:], names[module])

    with hooked(names, note), examined(network), torch.no_grad():
        network(images.clone())
    found = list((activations or convolutions).values())
    if not found:
        raise ConfigError("this network has no feature maps: name the layers of the style")
    return found
