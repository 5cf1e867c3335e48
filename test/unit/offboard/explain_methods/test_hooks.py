"""Hooks: what is recorded, rules for ReLU, and a network that is as it was afterwards."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.hooks import (  # noqa: E402
    ReluRule,
    examined,
    gradient,
    recorded,
    relu_rule,
)
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402


def test_a_network_is_examined_frozen_and_in_evaluation_mode() -> None:
    network = small_network()
    with unchanged(network), torch.no_grad(), examined(network):
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert torch.is_grad_enabled()


def test_a_network_is_put_back_when_it_breaks() -> None:
    network = small_network()
    network[7] = Breaking()
    with (
        unchanged(network),
        pytest.raises(Broken),
        relu_rule(ReluRule.GUIDED),
        examined(network),
        recorded(network, "4"),
    ):
        network(image())
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    torch.relu(x).sum().mul(-1).backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, -1.0]


def test_a_recording_is_what_the_layer_answered_though_the_next_works_in_place() -> None:
    network = small_network(in_place=True)
    with examined(network), recorded(network, "1") as recording:
        answer = network(image())
        expected = network[1](network[0](image()))
    assert float(recording.maps.detach().min()) < 0
    torch.testing.assert_close(recording.maps, expected)
    torch.testing.assert_close(answer, network.eval()(image()))


def test_gradients_of_a_recording_are_those_of_the_rest_of_the_network() -> None:
    network = small_network(in_place=True)
    with examined(network), recorded(network, "5") as recording:
        found = gradient(network(image())[0, 2], recording.maps, "layer 5")
        leaf = network[:6](image()).detach().requires_grad_()
        expected = torch.autograd.grad(network[6:](leaf.clone())[0, 2], leaf)[0]
    torch.testing.assert_close(found, expected)


def test_a_layer_without_maps_or_part_is_said() -> None:
    network = small_network()
    with examined(network), recorded(network, "11") as recording:
        network(image())
        with pytest.raises(ConfigError, match=r"shape \(1, 12\), not with maps"):
            _ = recording.maps
    with examined(network), recorded(network, "4") as recording:
        network[:4](image())
        with pytest.raises(ConfigError, match="layer 4 has no part in the answer"):
            _ = recording.maps
        network(image())
        with pytest.raises(ConfigError, match="layer 4 has no part in the target"):
            gradient(torch.zeros(()), recording.maps, "layer 4")


def test_a_layer_that_answers_with_more_than_a_tensor_is_said() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    network = nn.Sequential(Pair())
    with pytest.raises(ConfigError, match="layer 0 answers with a tuple"), recorded(network, "0"):
        network(image())


INPUT = [-2.0, -1.0, 1.0, 2.0, 7.0, 8.0]
GRADIENT = [-3.0, 3.0, -3.0, 3.0, -3.0, 3.0]


@pytest.mark.parametrize(
    ("rule", "ceiling", "expected"),
    [
        (ReluRule.GUIDED, False, [0, 0, 0, 3, 0, 3]),
        (ReluRule.GUIDED, True, [0, 0, 0, 3, 0, 0]),
        (ReluRule.DECONVNET, False, [0, 3, 0, 3, 0, 3]),
        (ReluRule.DECONVNET, True, [0, 3, 0, 3, 0, 3]),
    ],
)
def test_rules_for_relu(rule: ReluRule, ceiling: bool, expected: list[float]) -> None:
    ways = [nn.ReLU6(), nn.ReLU6(True), functional.relu6, nn.Hardtanh(0.0, 6.0)]
    if not ceiling:
        ways = [nn.ReLU(), nn.ReLU(True), functional.relu, torch.relu, Tensor.relu, torch.relu_]
        ways += [Tensor.relu_, functional.relu_, lambda x: (x.relu_(), x)[1]]
    for way in ways:
        x = torch.tensor(INPUT, requires_grad=True)
        with relu_rule(rule):
            y = way(x.clone())
        torch.testing.assert_close(y, x.detach().clamp(0.0, 6.0 if ceiling else None))
        y.backward(torch.tensor(GRADIENT))
        assert x.grad is not None and x.grad.tolist() == expected, way


def test_other_activations_keep_their_derivatives() -> None:
    x = torch.tensor([-1.0, 0.5], requires_grad=True)
    with relu_rule(ReluRule.GUIDED):
        functional.hardtanh(x).sum().mul(-1).backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, -1.0]
