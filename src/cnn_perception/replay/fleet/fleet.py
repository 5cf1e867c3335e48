"""Many bags: replayed by several workers, kept where nothing has changed, told in one table."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_perception.errors import BagError
from cnn_perception.html.document import render
from cnn_perception.replay.expectations.expectations import load_expectations
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.fleet.fingerprint import bag_files, fingerprint, model_digests
from cnn_perception.replay.fleet.fleet_runner import (
    BROKEN,
    FAILED,
    PASSED,
    FleetRow,
    FleetTest,
    run_fleet_test,
)
from cnn_perception.replay.fleet.ray_workers import RayWorkers
from cnn_perception.replay.per_bag import bag_names, check_golden_paths, for_bag
from cnn_perception.replay.plan import ReplayPlan, load_plan

__all__ = ["Fleet", "FleetProgress", "replay_fleet"]

FleetProgress = Callable[[FleetRow, int, int], None]
"""Called with the row of a bag that is done, how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What came of many bags, sorted by their paths.

    seconds: from the first start to the last end; workers: how many processes replayed; left: bags
    that were not reached before an interruption.
    """

    rows: tuple[FleetRow, ...]
    seconds: float
    workers: int
    left: tuple[Path, ...] = ()

    def count(self, verdict: str) -> int:
        """Return how many bags have a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def totals(self) -> dict[str, Any]:
        """Return sums over the bags; the speed is that of the bags that were replayed now."""
        fresh = [row for row in self.rows if not row.kept]
        frames = sum(row.frames for row in fresh)
        rate = frames / self.seconds if self.seconds else 0.0
        recorded = sum(row.recorded_s for row in fresh)
        dropped: Counter[str] = Counter()
        for row in self.rows:
            dropped.update(row.dropped)
        return {
            "bags": len(self.rows),
            **{verdict: self.count(verdict) for verdict in (PASSED, FAILED, BROKEN)},
            "kept": len(self.rows) - len(fresh),
            "frames": sum(row.frames for row in self.rows),
            "dropped": dict(sorted(dropped.items())),
            "expectations": sum(len(row.checks) for row in self.rows),
            "not_met": sum(len(row.failures) for row in self.rows),
            "frames_per_second": round(rate, 2),
            "frames_per_second_and_worker": round(rate / self.workers, 2),
            "times_real_time": round(recorded / self.seconds, 3) if self.seconds else 0.0,
        }

    def as_mapping(self) -> dict[str, Any]:
        """Return the content of fleet.json."""
        return {
            "workers": self.workers,
            "seconds": round(self.seconds, 3),
            "totals": self.totals(),
            "bags": [row.as_mapping() for row in self.rows],
            "left": [str(bag) for bag in self.left],
        }


def replay_fleet(
    bags: Sequence[Path],
    out: Path,
    plan_file: Path | None = None,
    expect_file: Path | None = None,
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    update: bool = False,
    fresh: bool = False,
    progress: FleetProgress = lambda row, done, total: None,
) -> Fleet:
    """Replay bags into folders of `out` that are named like them, and check each.

    Leaves fleet.json and index.html in `out`. A bag for which nothing has changed since an earlier
    run (its files, plan, expectations, golden results, models, this package's version) is kept
    unless `fresh`. workers: processes, by default one or, with `ray_address`, every CPU of that
    cluster; one works in this process. update: record golden results anew. In their paths and in
    that of a true map ``{bag}`` stands for the bag's name.

    A bag that cannot be replayed is a row that says why. Ctrl-C ends the others and returns what is
    finished. Raises ConfigError, ModelError for what concerns all bags, BagError where `out` cannot
    be written.
    """
    plan = ReplayPlan() if plan_file is None else load_plan(plan_file)
    expectations = Expectations() if expect_file is None else load_expectations(expect_file)
    if update:
        check_golden_paths(expectations, len(bags))
    tests = _tests(bags, out.absolute(), plan, expectations, update)
    rows = {}
    if not (fresh or update):
        rows = {test.bag: row for test in tests if (row := test.kept()) is not None}
    for done, row in enumerate(rows.values(), 1):
        progress(row, done, len(tests))
    # The largest first: one that starts last would keep all others waiting.
    todo = sorted((test for test in tests if test.bag not in rows), key=lambda test: -test.size)
    start, count = time.perf_counter(), workers or 1
    try:
        with _workers(workers, ray_address, len(todo)) as replaying:
            # Anew, when the workers are there: starting Ray is no part of the speed.
            start, count = time.perf_counter(), replaying.count
            for row in replaying.run(todo):
                rows[row.bag] = row
                progress(row, len(rows), len(tests))
    except KeyboardInterrupt:
        pass
    seconds = time.perf_counter() - start if todo else 0.0
    left = tuple(test.bag for test in tests if test.bag not in rows)
    fleet = Fleet(tuple(rows[bag] for bag in sorted(rows)), seconds, count, left)
    _write(fleet, out)
    return fleet


class _ThisProcess:
    """Replays one bag after the other, here."""

    count = 1

    def run(self, tests: Sequence[FleetTest]) -> Iterator[FleetRow]:
        """Yield rows as they come."""
        return map(run_fleet_test, tests)


@contextmanager
def _workers(
    workers: int | None, ray_address: str | None, tests: int
) -> Iterator[_ThisProcess | RayWorkers]:
    if tests == 0 or (ray_address is None and workers in (None, 1)):
        yield _ThisProcess()
    else:
        with RayWorkers(workers and min(workers, tests), ray_address) as started:
            yield started


def _tests(
    bags: Sequence[Path], out: Path, plan: ReplayPlan, expectations: Expectations, update: bool
) -> list[FleetTest]:
    models = model_digests(plan)
    paths = sorted({bag.absolute() for bag in bags})
    tests = []
    for bag, name in zip(paths, bag_names(paths), strict=True):
        its_plan, its_expectations = for_bag(plan, expectations, name)
        tests.append(
            FleetTest(
                bag,
                out / name,
                its_plan,
                its_expectations,
                fingerprint(bag, its_plan, its_expectations, models),
                sum(file.stat().st_size for file in bag_files(bag)),
                update,
            )
        )
    return tests


def _write(fleet: Fleet, out: Path) -> None:
    text = json.dumps(fleet.as_mapping(), indent=1, ensure_ascii=False) + "\n"
    page = render("replay/fleet/fleet.html.jinja", rows=fleet.rows, totals=fleet.totals())
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "fleet.json").write_text(text, encoding="utf-8")
        (out / "index.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise BagError(f"cannot write into {out} ({error}): choose another --out") from error
