"""Parameters and multiply-adds of a network, counted on one forward pass."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError

__all__ = ["count_multiply_adds", "count_parameters"]

_COUNTED = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
    nn.MultiheadAttention,
)


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers a network learns; a shared one counts once, statistics do not."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, *inputs: Any) -> int:
    """Return the multiplications with an addition each, of all inputs together.

    Convolutions, transposed convolutions, linear layers and attention count, as in the papers'
    tables; biases, normalisation, activations, pooling and interpolation do not. A multiplication
    with a border of zeros counts like any other. What a network computes with functions instead of
    layers (the attention of Swin, say) is not seen. A network and inputs on the ``meta`` device are
    counted without computing anything. The network runs once in evaluation mode without gradients,
    and is left as it was. Raises ConfigError for an attention without batch dimension.
    """
    total = 0

    def add(module: nn.Module, arguments: tuple[Any, ...], keywords: Any, answer: Any) -> None:
        nonlocal total
        total += _multiply_adds(module, arguments, keywords, answer)

    layers = [module for module in network.modules() if isinstance(module, _COUNTED)]
    hooks = [layer.register_forward_hook(add, with_kwargs=True) for layer in layers]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return total


def _multiply_adds(
    module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], answer: Any
) -> int:
    """Return the multiply-adds of one call of one layer."""
    if isinstance(module, nn.Linear):
        return int(answer.numel()) * int(module.in_features)
    if isinstance(module, nn.MultiheadAttention):
        return _attention(module, *_attended(arguments, keywords))
    kernel = math.prod(module.kernel_size)
    if module.transposed:
        # Every input meets the whole kernel, and adds to that many outputs.
        given: Tensor = arguments[0] if arguments else keywords["input"]
        return int(given.numel()) * kernel * (module.out_channels // module.groups)
    return int(answer.numel()) * kernel * (module.in_channels // module.groups)


def _attended(
    arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[torch.Size, torch.Size, torch.Size]:
    """Return the shapes of query, key and value."""
    given = dict(zip(("query", "key", "value"), arguments, strict=False)) | keywords
    return given["query"].shape, given["key"].shape, given["value"].shape


def _attention(
    module: nn.MultiheadAttention, query: torch.Size, key: torch.Size, value: torch.Size
) -> int:
    """Return projections, scores and weighted sums (Vaswani et al. 2017, section 3.2)."""
    if len(query) != 3:
        raise ConfigError(f"attention over a query of shape {tuple(query)}: give it a batch")
    batch, sequence = (0, 1) if module.batch_first else (1, 0)
    width = int(module.embed_dim)
    asked, known = query[sequence], key[sequence]
    projections = asked * width * (query[2] + width) + known * width * (key[2] + value[2])
    return int(query[batch] * (projections + 2 * asked * known * width))
