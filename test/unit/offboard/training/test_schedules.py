from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
from torch.optim import lr_scheduler  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.training.optimisation import OptimisationConfig  # noqa: E402
from cnn_perception.offboard.training.schedules import Schedule, steps_in  # noqa: E402

RATE = 0.3


def torch_rates(make: Callable[..., object], steps: int) -> list[float]:
    """The rate of each step as a scheduler of torch sets it."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], RATE)
    scheduler = make(optimiser)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()  # type: ignore[attr-defined]
    return rates


def rates(steps: int = 50, images: int = 1000, **settings: object) -> list[float]:
    values = {"length": steps, "learning_rate": RATE, **settings}
    schedule = Schedule(OptimisationConfig.from_mapping(values), images)
    return [schedule(step) for step in range(schedule.steps)]


def test_constant_is_torchs() -> None:
    wanted = torch_rates(lambda o: lr_scheduler.ConstantLR(o, factor=1.0), 50)
    assert rates(schedule="constant") == pytest.approx(wanted)


def test_cosine_is_torchs() -> None:
    wanted = torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=50), 50)
    assert rates(schedule="cosine") == pytest.approx(wanted)


def test_cosine_in_cycles_is_torchs_warm_restarts() -> None:
    wanted = torch_rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=16), 48)
    assert rates(48, schedule="cosine", cycles=3) == pytest.approx(wanted)
    with pytest.raises(ConfigError, match="only schedule cosine"):
        OptimisationConfig(schedule="constant", cycles=2)


def test_step_is_torchs() -> None:
    wanted = torch_rates(lambda o: lr_scheduler.MultiStepLR(o, [20, 35], gamma=0.2), 50)
    assert rates(schedule="step", milestones=[20, 35], gamma=0.2) == pytest.approx(wanted)


@pytest.mark.parametrize("power", [0.9, 2.0])
def test_polynomial_is_torchs(power: float) -> None:
    wanted = torch_rates(lambda o: lr_scheduler.PolynomialLR(o, 50, power=power), 50)
    assert rates(schedule="polynomial", power=power) == pytest.approx(wanted)


@pytest.mark.parametrize("kind", ["constant", "cosine", "polynomial"])
def test_warm_up_is_torchs_linear_one_before_the_rest(kind: str) -> None:
    warm = rates(schedule=kind, warmup=10)
    wanted = torch_rates(
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / 11, end_factor=1.0, total_iters=10), 10
    )
    assert warm[:10] == pytest.approx(wanted)
    assert warm[10:] == pytest.approx(rates(40, schedule=kind))


def test_milestones_count_from_the_start_of_the_warm_up() -> None:
    warm = rates(schedule="step", milestones=[20], gamma=0.5, warmup=10)
    assert warm[10:20] == [RATE] * 10 and warm[20:] == [RATE / 2] * 30


def test_epochs_are_counted_in_images_of_all_processes() -> None:
    config = OptimisationConfig(unit="epochs", length=3, batch=8, accumulate=2, warmup=0.5)
    assert steps_in(3, config, 800) == 150
    assert steps_in(3, config, 800, processes=2) == 75
    assert steps_in(3, config, 801) == 151  # the last images are shown too
    schedule = Schedule(config, 800)
    assert (schedule.steps, schedule.warmup) == (150, 25)
    in_steps = OptimisationConfig(length=150, batch=8, accumulate=2, warmup=25)
    other = Schedule(in_steps, 800)
    assert [schedule(k) for k in range(150)] == [other(k) for k in range(150)]


def test_a_run_has_a_step_at_least_and_ends_low() -> None:
    assert Schedule(OptimisationConfig(unit="epochs", length=0.01, batch=64), 10).steps == 1
    cosine = rates(1000)
    assert cosine[-1] < 1e-5 * RATE < cosine[-10]
    assert np.diff(cosine).max() < 0
