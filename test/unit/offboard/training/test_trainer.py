from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import ConfigError, ModelError, PerceptionError  # noqa: E402
from cnn_perception.offboard.training.checkpoint import read_state, write_state  # noqa: E402
from cnn_perception.offboard.training.trainer import Trainer  # noqa: E402
from tiny_task import Squares, TinyTask, tiny_plan  # noqa: E402


def trainer(out: Path, images: int = 20, task: TinyTask | None = None, **settings: Any) -> Trainer:
    return Trainer(tiny_plan(**settings), task or TinyTask(), Squares(images), Squares(10), out)


def resumed(out: Path, **settings: Any) -> Trainer:
    result = trainer(out, **settings)
    result.resume()
    return result


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same(first: Any, second: Any) -> None:
    """Equal trees, tensors to the last bit."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adagrad", "adam", "adamw"])
def test_a_run_in_parts_ends_exactly_as_one_in_one_go(optimiser: str, tmp_path: Path) -> None:
    settings = {"optimiser": optimiser, "evaluate_every": 4, "warmup": 3}
    assert trainer(tmp_path / "straight", **settings).run()
    assert trainer(tmp_path / "parts", **settings).run(5)
    assert resumed(tmp_path / "parts", **settings).run(9)
    last = resumed(tmp_path / "parts", **settings)
    torch.rand(5)  # whatever else happens to the global generator
    assert last.run()
    for name in ("checkpoint.pt", "best.pt"):
        assert_same(read_state(tmp_path / "straight" / name), read_state(tmp_path / "parts" / name))
    straight, parts = rows(tmp_path / "straight"), rows(tmp_path / "parts")
    for table in (straight, parts):
        assert [row["step"] for row in table if row["accuracy"]] == ["4", "8", "12"]
    steps = [int(row["step"]) for row in parts]
    assert steps == sorted(set(steps)) and {4, 5, 8, 9, 12} == set(steps)


def test_steps_of_a_run_that_died_come_again(tmp_path: Path) -> None:
    assert trainer(tmp_path / "straight").run()
    one = trainer(tmp_path / "dead")
    assert one.run(6)
    early = (tmp_path / "dead" / "checkpoint.pt").read_bytes()
    again = resumed(tmp_path / "dead")
    assert again.run(10)
    (tmp_path / "dead" / "checkpoint.pt").write_bytes(early)  # killed before it saved step 10
    assert resumed(tmp_path / "dead").run()
    assert [row["step"] for row in rows(tmp_path / "dead")] == ["4", "6", "8", "12"]
    first, second = (read_state(tmp_path / name / "checkpoint.pt") for name in ("straight", "dead"))
    assert_same(first, second)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(number: int, tmp_path: Path) -> None:
    class Signalled(TinyTask):
        steps = 0

        def loss(self, network, batch):  # type: ignore[no-untyped-def]
            self.steps += 1
            if self.steps == 5:
                os.kill(os.getpid(), number)
            return super().loss(network, batch)

    before = signal.getsignal(number)
    assert not trainer(tmp_path / "parts", task=Signalled()).run()
    assert signal.getsignal(number) is before
    assert read_state(tmp_path / "parts" / "checkpoint.pt")["step"] == 5
    assert resumed(tmp_path / "parts").run()
    assert trainer(tmp_path / "straight").run()
    first, second = (read_state(tmp_path / n / "checkpoint.pt") for n in ("straight", "parts"))
    assert_same(first, second)


@pytest.mark.parametrize("step", [5, 12])
def test_a_measurement_that_is_interrupted_is_made_later(step: int, tmp_path: Path) -> None:
    class Signalled(TinyTask):
        def measure(self, network, images):  # type: ignore[no-untyped-def]
            next(iter(images))
            os.kill(os.getpid(), signal.SIGINT)
            return super().measure(network, images)

    every = step if step < 12 else 0  # 12 is the last, which is measured in any case
    assert not trainer(tmp_path, task=Signalled(), evaluate_every=every).run()
    state = read_state(tmp_path / "checkpoint.pt")
    assert (state["step"], state["measured_step"], state["figures"]) == (step, 0, {})
    assert not (tmp_path / "best.pt").exists()
    assert resumed(tmp_path, evaluate_every=every).run(step)
    assert read_state(tmp_path / "best.pt")["step"] == step
    assert [row["step"] for row in rows(tmp_path) if row["accuracy"]] == [str(step)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/run cannot be made: Not a directory"):
        trainer(tmp_path / "file" / "run").run()


def test_best_checkpoint_is_that_of_the_highest_figure(tmp_path: Path) -> None:
    class Scripted(TinyTask):
        figures = iter([0.2, 0.8, float("nan"), 0.8, 0.5])

        def measure(self, network, images):  # type: ignore[no-untyped-def]
            return {"other": 1.0, "accuracy": next(self.figures)}

    run = trainer(tmp_path, task=Scripted(), length=10, evaluate_every=2)
    assert run.run()
    best = read_state(tmp_path / "best.pt")
    assert best["step"] == 4 and best["figures"] == {"other": 1.0, "accuracy": 0.8}
    last = read_state(tmp_path / "checkpoint.pt")
    assert last["figures"] == best["figures"]
    name = "3.weight"
    assert not torch.equal(best["average"][name], last["average"][name])


def test_measured_images_can_be_limited_and_measuring_left_out(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    object.__setattr__(run.plan.data, "validation_images", 4)
    run.run(12)
    assert run.best["images"] == 4
    alone = Trainer(tiny_plan(length=2), TinyTask(), Squares(8), None, tmp_path / "alone")
    assert alone.run() and alone.best == {}
    assert not (tmp_path / "alone" / "best.pt").exists()


def test_it_learns(tmp_path: Path) -> None:
    run = trainer(tmp_path, images=40, length=40)
    with torch.no_grad():
        before = run.task.measure(run.learner.average.network, Squares(30))
    assert run.run()
    assert run.best["accuracy"] > 0.95 > before["accuracy"]
    losses = [float(row["loss"]) for row in rows(tmp_path)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"learning_rate": 0.02}, r"optimisation\.learning_rate = 0\.02, but .* began with 0\.01"),
        ({"seed": 3}, r"optimisation\.seed = 3"),
        ({"images": 21}, "of a run with images = 20, not 21"),
        ({"task": TinyTask(("a", "b"))}, "of a run with labels = "),
    ],
)
def test_going_on_with_something_else_is_refused(
    settings: dict[str, Any], text: str, tmp_path: Path
) -> None:
    trainer(tmp_path).run(1)
    with pytest.raises(ConfigError, match=text):
        resumed(tmp_path, **settings)


def test_what_belongs_to_the_machine_may_change(tmp_path: Path) -> None:
    trainer(tmp_path).run(1)
    run = resumed(tmp_path, threads=2, checkpoint_minutes=1.0, report_every=1)
    assert run.learner.step == 1


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint.pt", {"average": {}})
    with pytest.raises(ConfigError, match="weights without plan"):
        resumed(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        resumed(tmp_path)


def test_loss_that_is_no_number_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    class Exploding(TinyTask):
        def loss(self, network, batch):  # type: ignore[no-untyped-def]
            terms = super().loss(network, batch)
            return {**terms, "size": terms["size"] / 0} if network[1][0].bias.sum() > 9 else terms

    run = trainer(tmp_path, task=Exploding())
    run.run(3)
    with torch.no_grad():
        run.learner.network[1][0].bias.fill_(9)
    with pytest.raises(PerceptionError, match=r"loss size is inf before step 4: lower"):
        run.run()
    assert read_state(tmp_path / "checkpoint.pt")["step"] == 3


def test_dropout_differs_from_step_to_step_and_not_from_run_to_run(tmp_path: Path) -> None:
    draws: list[list[float]] = []
    for _ in range(2):
        run = trainer(tmp_path, length=3, accumulate=2)
        drawn: list[float] = []
        dropout = run.learner.network[0][3]
        dropout.register_forward_hook(lambda *_, seen=drawn: seen.append(float(torch.rand(1))))
        run.run()
        draws.append(drawn)
    assert draws[0] == draws[1] and len(set(draws[0])) == 6


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    class Plain(TinyTask):
        """Without what depends on who shares a batch."""

        def build(self):  # type: ignore[no-untyped-def]
            network = super().build()
            network[0][1] = network[1][1] = network[0][3] = torch.nn.Identity()
            return network

    large, small = (
        trainer(
            tmp_path / str(batch),
            task=Plain(),
            batch=batch,
            accumulate=8 // batch,
            length=3,
            optimiser="sgd",  # it takes the size of gradients as it is
            clip=0.0,
        )
        for batch in (8, 2)
    )
    assert large.run() and small.run()
    for name, value in large.learner.network.state_dict().items():
        torch.testing.assert_close(small.learner.network.state_dict()[name], value)


def test_precision_and_device_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float16' needs CUDA"):
        trainer(tmp_path, precision="float16")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="finds no GPU"):
            trainer(tmp_path, device="cuda")


def test_bfloat16_multiplies_in_it_and_keeps_float32_weights(tmp_path: Path) -> None:
    run = trainer(tmp_path, precision="bfloat16", length=2)
    seen = set()
    run.learner.network[0][0].register_forward_hook(lambda m, i, out: seen.add(out.dtype))
    assert run.run()
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in run.learner.network.parameters()} == {torch.float32}
