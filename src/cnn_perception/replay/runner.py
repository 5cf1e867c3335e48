"""The test runner: replay a bag, measure it, hold it to its expectations, write the report."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnn_perception.errors import BagError
from cnn_perception.replay.accuracy.accuracy import Accuracy, measure
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.expectations import check
from cnn_perception.replay.expectations.golden import record_golden
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.per_bag import check_golden_paths
from cnn_perception.replay.plan import ReplayPlan
from cnn_perception.replay.replayer import Progress, check_folder, replay
from cnn_perception.replay.report.report import write_report
from cnn_perception.replay.run import ReplayRun

__all__ = ["CheckedReplay", "judge", "run_test"]

_ASIDE = ".before"


@dataclass(frozen=True, slots=True)
class CheckedReplay:
    """A replay and what was checked."""

    run: ReplayRun
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True if every expectation was met."""
        return all(each.passed for each in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The expectations that were not met."""
        return tuple(each for each in self.checks if not each.passed)


def run_test(
    bag: Path,
    out: Path,
    plan: ReplayPlan | None = None,
    expectations: Expectations | None = None,
    *,
    update: bool = False,
    previous: ReplayRun | None = None,
    progress: Progress = lambda done, total: None,
) -> CheckedReplay:
    """Replay a bag into the folder `out` and check it.

    update: record the golden of the expectations anew before checking. previous: the replay with
    which the report compares, by default the one that was in `out`. Raises BagError, ConfigError,
    ModelError for what cannot be replayed; what does not meet its expectations is in the result.
    """
    plan, expectations = plan or ReplayPlan(), expectations or Expectations()
    if update:
        check_golden_paths(expectations, bags=1)
    check_folder(out, bag)
    with _earlier(out) as earlier:
        run = replay(bag, plan, out, progress)
        accuracy = None if plan.truth is None else measure(run, plan.truth)
        if accuracy is not None:
            summary = {**run.summary, "accuracy": accuracy.as_mapping()}
            run = dataclasses.replace(run, summary=summary)
            run.save()
        return judge(run, expectations, previous or earlier, accuracy, update=update)


def judge(
    run: ReplayRun,
    expectations: Expectations,
    previous: ReplayRun | None = None,
    accuracy: Accuracy | None = None,
    *,
    update: bool = False,
) -> CheckedReplay:
    """Hold a replay to its expectations and write its report; see `run_test` and `write_report`."""
    if update and expectations.golden is not None:
        record_golden(run, expectations.golden, expectations.tolerance)
    checks = check(run, expectations)
    write_report(run, checks, previous, accuracy)
    return CheckedReplay(run, checks)


@contextmanager
def _earlier(out: Path) -> Iterator[ReplayRun | None]:
    """Give the replay that was in `out`, set aside until the new one is compared with it.

    It comes back when there is no new one.
    """
    aside = out / _ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    try:
        ReplayRun.load(out)
    except BagError:
        yield None
        return
    aside.mkdir()
    _move(out, aside)
    try:
        yield ReplayRun.load(aside)
    except BaseException:
        _move(aside, out)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    """Move what a comparison needs, unless there is another already."""
    for name in ("results", "metrics.json"):
        if (source / name).exists() and not (target / name).exists():
            (source / name).rename(target / name)
