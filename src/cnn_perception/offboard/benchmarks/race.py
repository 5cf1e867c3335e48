"""Contenders at one job, timed in turns; who does not agree with the others does not start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_perception.offboard.benchmarks.spread import spread
from cnn_perception.types import Float64Array

__all__ = ["Contender", "Gap", "Job", "JobResult", "Progress", "race"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much of it is."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who does the job: `run` takes the number of the round.

    difference: how far its answer was from the one that is taken for right, or None where there is
    nothing to compare.
    """

    name: str
    run: Callable[[int], object]
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """What is asked of two contenders' times: the median of (more - less) / count, milliseconds."""

    name: str
    more: str
    less: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work; ratios are to the first contender.

    says: what is within the times. tolerance: the largest difference with which one is timed.
    """

    name: str
    says: str
    contenders: Sequence[Contender]
    tolerance: float = 1e-3
    gap: Gap | None = None

    @property
    def refused(self) -> Mapping[str, str]:
        """Contenders that disagree, and by how much."""
        return {
            each.name: f"its answer is off by {each.difference:.2g}, more than {self.tolerance:g}"
            for each in self.contenders
            # Not a number is no agreement either.
            if each.difference is not None and not each.difference <= self.tolerance
        }


@dataclass(frozen=True, slots=True, eq=False)
class JobResult:
    """A job, and the milliseconds of processor time of its contenders, float64 (rounds,) each."""

    job: Job
    times: Mapping[str, Float64Array]

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them; ratios are medians of the rounds' ratios."""
        job, times = self.job, self.times
        reference = job.contenders[0].name
        found: dict[str, Any] = {
            "job": job.name,
            "says": job.says,
            "reference": reference,
            "contenders": {},
            "refused": dict(job.refused),
        }
        for each in job.contenders:
            row: dict[str, Any] = {"difference": each.difference}
            if each.name in times:
                row["cpu_ms"] = spread(times[each.name])
                row["samples"] = times[each.name].round(4).tolist()
                if reference in times:
                    ratio = np.median(times[reference] / times[each.name])
                    row["times_faster"] = round(float(ratio), 2)
            found["contenders"][each.name] = row
        if job.gap is not None and {job.gap.more, job.gap.less} <= times.keys():
            gap = (times[job.gap.more] - times[job.gap.less]) / job.gap.count
            found["gap"] = {"name": job.gap.name, "ms": round(float(np.median(gap)), 4)}
        return found


def race(jobs: Sequence[Job], rounds: int, progress: Progress) -> list[JobResult]:
    """Time the contenders of each job in turns, so that load hits all alike; refused ones are not.

    Times are those of the whole process. One round warms up before the timed ones.
    """
    results = []
    for job in jobs:
        starters = [each for each in job.contenders if each.name not in job.refused]
        times = np.zeros((len(starters), rounds))
        for turn in range(-1, rounds):
            progress(job.name, turn + 1, rounds + 1)
            for place in range(len(starters)):
                # Everybody follows everybody else at some time: caches are left in a state.
                index = (place + turn) % len(starters)
                start = time.process_time()
                starters[index].run(turn)
                elapsed = time.process_time() - start
                if turn >= 0:
                    times[index, turn] = 1e3 * elapsed
        rows = {each.name: row for each, row in zip(starters, times, strict=True)}
        results.append(JobResult(job, rows))
    return results
