"""Starting weights: from a file of torchvision's names, or downloaded as torchvision does."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import get_weight

from cnn_perception.errors import ModelError

__all__ = ["Fit", "load_best", "load_fitting", "read_weights"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fit:
    """What became of a state dict: the names that a network took, and why others were left."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    unfit: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        for names, what in (
            (self.missing, "not in the file"),
            (self.unfit, "of another shape or not finite"),
            (self.unknown, "not in the network"),
        ):
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                parts.append(f"{what}: {', '.join(names[:3])}{more}")
        return "; ".join(parts)


def load_fitting(network: nn.Module, state: Mapping[str, Tensor]) -> Fit:
    """Copy those tensors whose name and shape a network has, and tell what was left."""
    own = network.state_dict()
    fitting = {
        name: tensor
        for name, tensor in state.items()
        # torchvision's files of features alone have a classifier of NaN.
        if name in own and tensor.shape == own[name].shape and bool(tensor.isfinite().all())
    }
    network.load_state_dict(fitting, strict=False)
    return Fit(
        tuple(fitting),
        tuple(name for name in own if name not in state),
        tuple(name for name in state if name not in own),
        tuple(name for name in state if name in own and name not in fitting),
    )


def load_best(
    name: str, parts: Sequence[nn.Module], state: Mapping[str, Tensor], weights: str
) -> nn.Module:
    """Load weights into that part of a network whose names they have, log it, and return the part.

    parts: the whole network, the trunk that it stands on, and so on; name and weights: what to call
    the network and the file. Raises ModelError when no tensor fits.
    """
    part = max(parts, key=lambda part: len(part.state_dict().keys() & state.keys()))
    fit = load_fitting(part, state)
    # Counters of batches fit everywhere.
    if not any(state[key].ndim for key in fit.loaded):
        raise ModelError(
            f"weights = {weights!r}: nothing in it fits {name} ({fit}): give a state dict of the "
            "same network, or of the classifier underneath, with torchvision's names"
        )
    _log.info("%s from weights = %r: %s", name, weights, fit)
    return part


def read_weights(weights: str, published: str) -> dict[str, Tensor] | None:
    """Return the state dict that a plan's ``weights`` names, or None for "none".

    weights: "none", "imagenet" or the path of a state dict as torch.save writes it (also below the
    key "model", as torchvision's training scripts keep it). published: torchvision's name of what
    "imagenet" stands for, as ``ResNet50_Weights.IMAGENET1K_V2``; it is downloaded once. Raises
    ModelError for a file that holds no state dict, and when the download fails.
    """
    if weights == "none":
        return None
    if weights == "imagenet":
        return _download(published)
    path = Path(weights).expanduser()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = getattr(error, "strerror", None) or "torch.load refuses it"
        raise ModelError(
            f"weights = {weights!r}: {reason}: give none, imagenet or the path of a state dict"
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]
    if not (isinstance(state, Mapping) and state and _are_tensors(state)):
        raise ModelError(
            f"weights = {weights!r} holds no state dict: save network.state_dict() there"
        )
    return dict(state)


def _are_tensors(state: Mapping[object, object]) -> bool:
    return all(isinstance(n, str) and isinstance(t, Tensor) for n, t in state.items())


def _download(published: str) -> dict[str, Tensor]:
    """Return torchvision's weights, from torch.hub's cache where they are there already."""
    entry = get_weight(published)
    try:
        state: dict[str, Tensor] = entry.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            f"weights = 'imagenet': {entry.url} cannot be downloaded ({reason}): fetch it on "
            "another machine and give its path as weights"
        ) from error
    return state
