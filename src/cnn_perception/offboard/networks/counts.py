"""Parameters and multiply-adds of a network, counted on one forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_multiply_adds", "count_parameters"]


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers a network learns; a shared one counts once, statistics do not."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, *inputs: Any) -> int:
    """Return the multiplications with an addition each, of all inputs together.

    Convolutions, transposed convolutions, matrix products and attention count, as in the papers'
    tables; biases, normalisation, activations, pooling and interpolation do not. A multiplication
    with a border of zeros counts like any other. A network and inputs on the ``meta`` device are
    counted without computing anything. The network runs once in evaluation mode without gradients,
    and is left as it was.
    """
    modes = [(module, module.training) for module in network.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not look into that
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes:
            module.training = training
    return counter.get_total_flops() // 2
