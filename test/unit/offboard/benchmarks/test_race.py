"""Contenders take turns; who disagrees is named and does not run; the figures are arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.offboard.benchmarks.race import Contender, Gap, Job, JobResult, race
from cnn_perception.offboard.benchmarks.spread import spread


def silent(name: str, done: int, total: int) -> None:
    pass


def times(**rows: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(row) for name, row in rows.items()}


def idle(turn: int) -> None:
    pass


def test_everybody_starts_first_at_some_time_and_warms_up() -> None:
    order: list[tuple[str, int]] = []
    contenders = [
        Contender(name, lambda turn, name=name: order.append((name, turn))) for name in "abc"
    ]
    seen: list[tuple[int, int]] = []
    (result,) = race(
        [Job("job", "", contenders)], 3, lambda name, done, total: seen.append((done, total))
    )
    rounds = [[name for name, turn in order if turn == number] for number in range(-1, 3)]
    assert rounds == [list("cab"), list("abc"), list("bca"), list("cab")]
    assert {name: row.shape for name, row in result.times.items()} == dict.fromkeys("abc", (3,))
    assert all((row >= 0).all() for row in result.times.values())
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]


@pytest.mark.parametrize("difference", [2e-3, float("inf"), float("nan")])
def test_who_disagrees_is_named_and_does_not_run(difference: float) -> None:
    def fail(turn: int) -> None:
        raise AssertionError("it was started")

    contenders = [
        Contender("right", idle),
        Contender("near", idle, 1e-3),
        Contender("far", fail, difference),
    ]
    job = Job("job", "", contenders)
    assert list(job.refused) == ["far"]
    (result,) = race([job], 2, silent)
    summary = result.summary()
    assert summary["refused"]["far"] == f"its answer is off by {difference:.2g}, more than 0.001"
    assert "cpu_ms" in summary["contenders"]["near"]
    assert "cpu_ms" not in summary["contenders"]["far"]
    assert "times_faster" not in summary["contenders"]["far"]


def test_ratios_are_medians_of_the_rounds_ratios() -> None:
    job = Job("job", "what it is", [Contender("slow", idle), Contender("fast", idle, 0.0)])
    summary = JobResult(job, times(slow=[10.0, 30.0, 20.0], fast=[5.0, 3.0, 5.0])).summary()
    assert summary["reference"] == "slow" and summary["says"] == "what it is"
    slow, fast = summary["contenders"]["slow"], summary["contenders"]["fast"]
    assert slow["times_faster"] == 1.0 and slow["difference"] is None
    assert fast["times_faster"] == 4.0  # of 2, 10 and 4; medians alone would say 20 / 5
    assert fast["cpu_ms"] == spread(np.array([5.0, 3.0, 5.0]))
    assert fast["cpu_ms"]["median"] == 5.0 and fast["cpu_ms"]["min"] == 3.0
    assert fast["samples"] == [5.0, 3.0, 5.0]


def test_a_gap_is_the_median_of_the_rounds_differences() -> None:
    gap = Gap("each further", "seven", "one", 6)
    job = Job("job", "", [Contender("one", idle), Contender("seven", idle)], gap=gap)
    rows = times(one=[1.0, 2.0, 4.0], seven=[7.0, 14.0, 40.0])
    assert JobResult(job, rows).summary()["gap"] == {"name": "each further", "ms": 2.0}
    assert "gap" not in JobResult(job, times(one=[1.0])).summary()


def test_spread() -> None:
    expected = {"median": 3.0, "min": 1.0, "interquartile_range": 2.0, "p95": 4.8}
    assert spread(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == expected
