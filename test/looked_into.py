"""Small networks for the methods that look into one, and a proof that they left it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

CLASSES = 5


class Broken(Exception):
    """What a layer raises in the middle of a forward pass."""


class Breaking(nn.Module):
    """Raises `Broken` when it is run."""

    def forward(self, images: Tensor) -> Tensor:
        raise Broken


def small_network(
    *, ceiling: bool = False, in_place: bool = False, pooled: bool = True, seed: int = 1
) -> nn.Sequential:
    """Three convolutions; pooled: averages and one linear layer above them, as CAM needs it."""
    torch.manual_seed(seed)

    def relu() -> nn.Module:
        return nn.ReLU6(in_place) if ceiling else nn.ReLU(in_place)

    head = [nn.AdaptiveAvgPool2d(1 if pooled else 2), nn.Flatten()]
    if not pooled:
        head += [nn.Linear(48, 16), relu()]
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), relu(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 10, 3, padding=1), nn.BatchNorm2d(10), relu(), nn.MaxPool2d(2)),
        *(nn.Conv2d(10, 12, 3, padding=1), relu()),
        *head,
        nn.Dropout(0.5),
        nn.Linear(12 if pooled else 16, CLASSES),
    )
    with torch.no_grad():
        network.train()(3 * torch.randn(8, 3, 64, 64))  # statistics that are not trivial
    return network


def image(seed: int = 2, size: int = 64) -> Tensor:
    """A normalised image (1, 3, size, size)."""
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def _state(network: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "tensors": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "modules": [
            (name, id(module), module.training) for name, module in network.named_modules()
        ],
        "inplace": [getattr(module, "inplace", None) for module in network.modules()],
        "hooks": [[len(getattr(module, x)) for x in hooks] for module in network.modules()],
        "learns": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [parameter.grad is None for parameter in network.parameters()],
        "random": torch.random.get_rng_state(),
        "grad mode": torch.is_grad_enabled(),
    }


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Mix modes and frozen weights, and assert that they and all else are as before in the end."""
    network.train()
    list(network.children())[1].eval()
    next(network.parameters()).requires_grad_(False)
    before = _state(network)
    yield
    after = _state(network)
    tensors, others = before.pop("tensors"), after.pop("tensors")
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert torch.equal(before.pop("random"), after.pop("random"))
    assert before == after
