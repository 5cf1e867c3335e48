"""Averaged weights: smoother and better than the last ones of a run."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["AveragedWeights"]


class AveragedWeights:
    """An exponential moving average of a network's weights and normalisation statistics.

    The decay grows from 0 as (1 + n) / (10 + n), so that the start is forgotten soon.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's present state."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages = self.network.state_dict()
        floats, targets = [], []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                floats.append(averages[name])
                targets.append(value)
            else:
                averages[name].copy_(value)
        torch._foreach_lerp_(floats, targets, 1 - decay)
