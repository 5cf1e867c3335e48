"""The network that ``explain --method`` and ``invert`` look into, by their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnn_perception.cli.extras import needs_train_extra
from cnn_perception.errors import ConfigError

if TYPE_CHECKING:
    from cnn_perception.offboard.explain_methods.network import OpenNetwork

__all__ = ["opened_network"]


@needs_train_extra("looking into a network")
def opened_network(model: str, network: str, weights: str) -> OpenNetwork:
    """Open what is looked into; raises ConfigError where PyTorch is not installed.

    network: a name of torchvision or of this package's SSDs, weights "none", "imagenet" or a file;
    without a name, weights is a checkpoint of ``cnn-perception train``, and without weights either
    model is a bundle.
    """
    from cnn_perception.offboard.explain_methods.network import OpenNetwork, open_network

    if network:
        return open_network(network, weights or "none")
    if not weights:
        from cnn_perception.offboard.explain_methods.bundle import open_bundle
        from cnn_perception.runtime.bundle import load_bundle

        return open_bundle(load_bundle(model))
    if weights in ("none", "imagenet"):
        raise ConfigError(f"weights = {weights!r} are of a network: say by --network which")
    from cnn_perception.offboard.training.checkpoint import load_checkpoint

    loaded = load_checkpoint(Path(weights))
    name = str(loaded.plan.network.get("name", loaded.plan.task))
    return OpenNetwork(name, loaded.network, loaded.task.input, loaded.labels)
