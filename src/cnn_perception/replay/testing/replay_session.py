"""The replays of a session of tests: each bag once for a plan, whatever is expected of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from cnn_perception.replay.expectations.expectations import load_expectations
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.per_bag import bag_name, for_bag
from cnn_perception.replay.plan import ReplayPlan, load_plan
from cnn_perception.replay.run import ReplayRun
from cnn_perception.replay.runner import CheckedReplay, judge, run_test

__all__ = ["ReplaySession"]


class ReplaySession:
    """Replays below the folder `out`. update: record golden results where expectations name any."""

    def __init__(self, out: Path, *, update: bool = False) -> None:
        self._out = out
        self._update = update
        self._runs: dict[tuple[Path, Path | None], ReplayRun] = {}
        self._tests: dict[tuple[Path, Path | None, Path | None], CheckedReplay] = {}
        self._folders: set[str] = set()

    def test(self, bag: Path, config: Path | None, expect: Path | None) -> CheckedReplay:
        """Return a bag's replay by a plan, and whether what is expected of it was met.

        What was asked before is not done again. Raises BagError, ConfigError and ModelError.
        """
        replayed = (bag.resolve(), config and config.resolve())
        key = (*replayed, expect and expect.resolve())
        if key not in self._tests:
            plan = ReplayPlan() if config is None else load_plan(config)
            expectations = Expectations() if expect is None else load_expectations(expect)
            plan, expectations = for_bag(plan, expectations, bag_name(bag))
            out = self._folder(bag_name(bag))
            if replayed in self._runs:
                self._tests[key] = self._judge(self._runs[replayed], out, expectations)
            else:
                update = self._update and expectations.golden is not None
                self._tests[key] = run_test(bag, out, plan, expectations, update=update)
                self._runs[replayed] = self._tests[key].run
        return self._tests[key]

    def _judge(self, known: ReplayRun, out: Path, expectations: Expectations) -> CheckedReplay:
        """Hold a replay to other expectations, in a copy: pictures and report are its own."""
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(known.out, out, ignore=shutil.ignore_patterns("failures"))
        return judge(ReplayRun.load(out), expectations, update=self._update)

    def _folder(self, name: str) -> Path:
        number, unique = 1, name
        while unique in self._folders:
            number += 1
            unique = f"{name}-{number}"
        self._folders.add(unique)
        return self._out / unique
