from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.offboard.training.average import AveragedWeights  # noqa: E402


def test_average_follows_weights_and_statistics() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    average = AveragedWeights(network, 0.5)
    start = network[0].weight.detach().clone()
    with torch.no_grad():
        network[0].weight += 1.0
    network(torch.randn(2, 3, 4, 4) + 5)
    average.update(network)
    decay = 2 / 11
    torch.testing.assert_close(average.network[0].weight, start + (1 - decay))
    assert average.network[1].num_batches_tracked == 1
    torch.testing.assert_close(
        average.network[1].running_mean, (1 - decay) * network[1].running_mean
    )


def test_without_decay_the_average_is_the_network() -> None:
    network = torch.nn.Linear(3, 2)
    average = AveragedWeights(network, 0.0)
    with torch.no_grad():
        network.weight *= 1.7
    average.update(network)
    assert torch.equal(average.network.weight, network.weight)
