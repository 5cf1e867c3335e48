"""Transfer learning: which layers learn, and weights that come from another run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from cnn_perception.errors import ModelError
from cnn_perception.offboard.training.task import Task

__all__ = ["begin_from", "choose_layers", "train_mode"]

_log = logging.getLogger(__name__)


def choose_layers(network: nn.Module, task: Task, which: str) -> Sequence[nn.Module]:
    """Let only some layers learn, and return them; which: all, last or head."""
    if which == "all":
        return [network]
    layers = task.last_layers(network) if which == "last" else task.head(network)
    network.requires_grad_(False)
    for layer in layers:
        layer.requires_grad_(True)
    return layers


def train_mode(network: nn.Module, learning: Sequence[nn.Module]) -> None:
    """Put a network into training mode, with layers that do not learn as in evaluation.

    Their normalisation keeps its statistics, and their dropout drops nothing. Modules that only
    hold others stay in training mode, which tells some networks what to return.
    """
    network.train()
    awake = {id(module) for layer in learning for module in layer.modules()}
    for module in network.modules():
        if id(module) not in awake and not any(module.children()):
            module.eval()


def begin_from(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    source: Path,
    *,
    anew: Sequence[nn.Module] = (),
) -> Collection[str]:
    """Take over weights of the same name and shape; return the names of the others.

    anew: layers that keep their own weights whatever the sizes are. Raises ModelError when there
    is nothing to take over; `source` names the file in messages.
    """
    own = network.state_dict()
    kept = {id(value) for layer in anew for value in layer.state_dict(keep_vars=True).values()}
    new_names = {
        name for name, value in network.state_dict(keep_vars=True).items() if id(value) in kept
    }
    fitting = {
        name: value
        for name, value in weights.items()
        if name in own and name not in new_names and own[name].shape == value.shape
    }
    if not fitting:
        raise ModelError(
            f"{source} has no weights for this network: give a checkpoint of the same network"
        )
    network.load_state_dict(fitting, strict=False)
    left = [name for name in own if name not in fitting]
    if left:
        _log.info("%d of %d tensors begin anew: %s", len(left), len(own), ", ".join(left))
    return left
