from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.offboard.training.parallel import TrainingGroup

MEMBER = """
import json, torch
from cnn_perception.offboard.training.parallel import TrainingGroup
group = TrainingGroup.join()
layer = torch.nn.Linear(2, 1)
layer.weight.grad = torch.tensor([[1.0, 2.0]]) * (group.rank + 1)
layer.bias.grad = torch.tensor([10.0 * group.rank])
group.average_gradients(layer.parameters())
flags = [group.any(False), group.any(group.rank == 1)]
group.leave()
print(json.dumps([group.size, layer.weight.grad.tolist(), layer.bias.grad.tolist(), flags]))
"""


def test_two_processes_end_with_the_mean() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    members = [
        subprocess.Popen(
            [sys.executable, "-c", MEMBER],
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for member in members:
        output, _ = member.communicate(timeout=300)
        assert member.returncode == 0
        assert json.loads(output.splitlines()[-1]) == [2, [[1.5, 3.0]], [5.0], [False, True]]


def test_alone_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    group = TrainingGroup.join()
    assert (group.rank, group.size) == (0, 1)
    group.average_gradients([])
    assert group.any(True) and not group.any(False)
    group.leave()
