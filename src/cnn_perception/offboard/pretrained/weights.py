"""torchvision's networks with published weights from a file."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import torch
import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights

from cnn_perception.errors import ModelError
from cnn_perception.offboard.pretrained.catalog import Published

__all__ = ["load_network"]


def load_network(published: Published, file: Path) -> nn.Module:
    """Return a network with the weights in `file`, in evaluation mode.

    It is built by torchvision itself, which knows what its weights need: auxiliary heads, frozen
    normalisations and their epsilon, the order of the colors. It finds the file where it would
    have downloaded it to. Raises ModelError for a file that does not fit.
    """
    try:
        weights = get_model_weights(published.name)[published.weights]
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"torchvision {torchvision.__version__} knows no weights {published.weights} of "
            f"{published.name}: install another version, or correct the catalog"
        ) from error
    previous = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkpoints" / weights.url.rpartition("/")[2]
        place.parent.mkdir()
        place.symlink_to(file.resolve())
        torch.hub.set_dir(folder)
        try:
            network: nn.Module = get_model(published.name, weights=weights, progress=False)
        except (RuntimeError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
            cause = " ".join(str(error).split())[:200]
            raise ModelError(f"{file} does not hold {published.name}'s weights: {cause}") from error
        finally:
            torch.hub.set_dir(previous)
    return network.eval()
