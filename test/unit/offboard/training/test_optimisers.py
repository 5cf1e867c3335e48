from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.offboard.training.optimisation import OptimisationConfig  # noqa: E402
from cnn_perception.offboard.training.optimisers import make_optimiser  # noqa: E402
from tiny_task import TinyTask  # noqa: E402

OTHERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.8),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.1),
    "adam": lambda p: torch.optim.Adam(p, 0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.0),
}


def trained(make, nesterov: bool = False):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = TinyTask().build()
    optimiser = make(network)
    for _ in range(4):
        optimiser.zero_grad()
        (network(torch.rand(4, 3, 16, 16)).square().mean()).backward()
        optimiser.step()
    return network.state_dict()


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_without_decay_they_are_torchs(name: str) -> None:
    config = OptimisationConfig(optimiser=name, learning_rate=0.1, momentum=0.8, weight_decay=0.0)
    mine = trained(lambda network: make_optimiser(network, config))
    wanted = trained(lambda network: OTHERS[name](network.parameters()))
    for key in wanted:  # not exactly: parameters in another order are added with other roundings
        torch.testing.assert_close(mine[key], wanted[key])


def test_nesterov_looks_ahead() -> None:
    settings = {"optimiser": "momentum", "learning_rate": 0.1, "weight_decay": 0.0}
    plain, ahead = (
        trained(
            lambda network, n=nesterov: make_optimiser(
                network, OptimisationConfig.from_mapping({**settings, "nesterov": n})
            )
        )
        for nesterov in (False, True)
    )
    assert not torch.equal(plain["3.weight"], ahead["3.weight"])


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_only_kernels_decay(name: str) -> None:
    config = OptimisationConfig(optimiser=name, learning_rate=0.1, weight_decay=0.5)
    network = TinyTask().build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    optimiser = make_optimiser(network, config)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for parameter in network.parameters():
        assert bool((parameter < 1.0).all()) == (parameter.ndim > 1)


def test_frozen_parameters_are_left_out() -> None:
    network = TinyTask().build()
    network[0].requires_grad_(False)
    optimiser = make_optimiser(network, OptimisationConfig())
    learning = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert learning == {id(p) for p in network.parameters() if p.requires_grad}
    network.requires_grad_(False)[3].bias.requires_grad_(True)
    assert len(make_optimiser(network, OptimisationConfig()).param_groups) == 1
