from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import ModelError  # noqa: E402
from cnn_perception.offboard.training.trainer import Trainer  # noqa: E402
from cnn_perception.offboard.training.transfer import begin_from, choose_layers, train_mode  # noqa: E402
from tiny_task import Squares, TinyTask, tiny_plan  # noqa: E402


@pytest.mark.parametrize(
    ("which", "learning"), [("all", {"0", "1", "3"}), ("last", {"1", "3"}), ("head", {"3"})]
)
def test_only_chosen_layers_change_normalisation_included(
    which: str, learning: set[str], tmp_path: Path
) -> None:
    trainer = Trainer(
        tiny_plan(length=4, train_layers=which), TinyTask(), Squares(16), None, tmp_path
    )
    network = trainer.learner.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer.run()
    changed = {
        name for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert {name.partition(".")[0] for name in changed} == learning
    for layer in learning - {"3"}:
        assert f"{layer}.1.running_mean" in changed
    average = trainer.learner.average.network.state_dict()
    assert all(torch.equal(average[name], before[name]) for name in before.keys() - changed)


def test_layers_that_do_not_learn_drop_nothing() -> None:
    network = TinyTask().build()
    train_mode(network, choose_layers(network, TinyTask(), "last"))
    assert not network[0][1].training and not network[0][3].training
    assert network[1][1].training and network[0].training
    train_mode(network, [network])
    assert all(module.training for module in network.modules())


def write(path: Path, labels: tuple[str, ...]) -> dict[str, torch.Tensor]:
    network = TinyTask(labels).build()
    with torch.no_grad():
        for value in network.state_dict().values():
            value.fill_(3)
    torch.save({"average": network.state_dict(), "labels": list(labels)}, path)
    return network.state_dict()


@pytest.mark.parametrize("labels", [("a", "b", "c"), ("bright", "dark"), ("dark", "bright")])
def test_start_takes_over_all_but_a_head_for_other_labels(
    labels: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = write(tmp_path / "other.pt", labels)
    trainer = Trainer(tiny_plan(), TinyTask(), Squares(16), None, tmp_path)
    with caplog.at_level("INFO"):
        trainer.learner.begin_from(tmp_path / "other.pt")
    state = trainer.learner.network.state_dict()
    same = {
        name
        for name, value in state.items()
        if value.shape == other[name].shape and torch.equal(value, other[name])
    }
    new = set() if labels == ("dark", "bright") else {"3.weight", "3.bias"}
    assert state.keys() - same == new
    assert ("2 of 15 tensors begin anew: 3.weight, 3.bias" in caplog.text) == bool(new)
    average = trainer.learner.average.network.state_dict()
    assert all(torch.equal(average[name], state[name]) for name in state)


def test_weights_of_another_network_are_refused() -> None:
    weights = {"0.0.weight": torch.zeros(6, 4, 3, 3), "unknown": torch.zeros(1)}
    with pytest.raises(ModelError, match=r"x\.pt has no weights for this network"):
        begin_from(TinyTask().build(), weights, Path("x.pt"))
