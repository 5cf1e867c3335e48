"""torch's optimisers by name, and which weights decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cnn_perception.offboard.training.optimisation import OptimisationConfig

__all__ = ["make_optimiser", "parameter_groups"]


def make_optimiser(network: nn.Module, config: OptimisationConfig) -> Optimizer:
    """Return the optimiser of the weights that require gradients."""
    groups = parameter_groups(network, config.weight_decay)
    rate = config.learning_rate
    match config.optimiser:
        case "sgd":
            return torch.optim.SGD(groups, rate)
        case "momentum":
            return torch.optim.SGD(groups, rate, momentum=config.momentum, nesterov=config.nesterov)
        case "adagrad":
            return torch.optim.Adagrad(groups, rate)
        case "adam":
            return torch.optim.Adam(groups, rate)
        case _:
            return torch.optim.AdamW(groups, rate)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters that learn: kernels with decay, biases and normalisation without."""
    learning = [p for p in network.parameters() if p.requires_grad]
    kernels = [p for p in learning if p.ndim > 1]
    others = [p for p in learning if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
