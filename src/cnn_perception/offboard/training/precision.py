"""On what, and in which numbers, a network is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cnn_perception.errors import ConfigError

__all__ = ["Precision", "choose_device"]


def choose_device(name: str, index: int = 0) -> torch.device:
    """Return the device: auto is CUDA where there is one; index: of the process on its machine.

    Raises ConfigError for cuda without one.
    """
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ConfigError("device = 'cuda', but PyTorch finds no GPU: say auto or cpu")
    if name == "cpu" or not found:
        return torch.device("cpu")
    device = torch.device("cuda", index % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


class Precision:
    """Mixed precision (Micikevicius et al. 2018): layers in a short type, weights in float32.

    float16 scales losses, so that small gradients do not vanish, and leaves out steps whose
    gradients overflow. Raises ConfigError for a type that the device does not have.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "float16" and device.type != "cuda":
            raise ConfigError("precision = 'float16' needs CUDA: say bfloat16 or float32 on a CPU")
        if name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ConfigError("precision = 'bfloat16': this GPU has none, say float16 or float32")
        self.device = device
        self.dtype = getattr(torch, name)
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def backward(self, loss: Tensor) -> None:
        """Add the (scaled) gradients of a loss."""
        self._scaler.scale(loss).backward()

    def step(self, optimiser: Optimizer, parameters: Sequence[nn.Parameter], clip: float) -> None:
        """Change the parameters by their gradients, shortened to the norm `clip`; 0 is no limit."""
        if clip:
            self._scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(parameters, clip)
        self._scaler.step(optimiser)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return what it takes to go on; empty unless losses are scaled."""
        state: dict[str, Any] = self._scaler.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        if state:
            self._scaler.load_state_dict(dict(state))
