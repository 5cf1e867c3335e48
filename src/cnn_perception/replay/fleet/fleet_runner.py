"""One bag of a fleet: what to do with it, the row that comes of it, and the file that keeps it."""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from cnn_perception.errors import BagError, PerceptionError
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.plan import ReplayPlan
from cnn_perception.replay.runner import CheckedReplay, run_test

__all__ = ["BROKEN", "FAILED", "PASSED", "FleetRow", "FleetTest", "run_fleet_test"]

PASSED, FAILED, BROKEN = "passed", "failed", "broken"
"""Verdicts: every expectation met, at least one not, and nothing to judge."""

_FILE = "case.json"


@dataclass(frozen=True, slots=True)
class FleetRow:
    """What came of a bag.

    frames: messages that the nodes were given; recorded_s: recorded seconds that were replayed;
    seconds: how long that took; dropped: by reason, over all nodes; error: why there is no answer,
    one line, empty where there is one; kept: from an earlier run, as nothing has changed since.
    """

    bag: Path
    out: Path
    frames: int = 0
    recorded_s: float = 0.0
    seconds: float = 0.0
    dropped: Mapping[str, int] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    error: str = ""
    kept: bool = False

    @property
    def name(self) -> str:
        """The bag's name, unique in its fleet."""
        return self.out.name

    @property
    def failures(self) -> tuple[Check, ...]:
        """The expectations that were not met."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def verdict(self) -> str:
        """PASSED, FAILED or BROKEN."""
        if self.error:
            return BROKEN
        return FAILED if self.failures else PASSED

    @property
    def times_real_time(self) -> float:
        """Recorded seconds for each second that the replay took."""
        return self.recorded_s / self.seconds if self.seconds else 0.0

    def as_mapping(self) -> dict[str, Any]:
        """Return the row as plain values, for JSON."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "bag": str(self.bag),
            "out": str(self.out),
            "frames": self.frames,
            "recorded_s": round(self.recorded_s, 3),
            "seconds": self.seconds,
            "times_real_time": round(self.times_real_time, 3),
            "dropped": dict(self.dropped),
            "checks": [check.as_mapping() for check in self.checks],
            "error": self.error,
            "kept": self.kept,
        }

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any]) -> FleetRow:
        """Read what `as_mapping` gave; raises KeyError and TypeError for what it did not."""
        known = {item.name: content[item.name] for item in dataclasses.fields(cls)}
        paths = {key: Path(known[key]) for key in ("bag", "out")}
        checks = tuple(Check.from_mapping(check) for check in known["checks"])
        return cls(**{**known, **paths, "checks": checks})


@dataclass(frozen=True, slots=True)
class FleetTest:
    """A bag to replay into the folder `out`, and by what it is recognised later."""

    bag: Path
    out: Path
    plan: ReplayPlan
    expectations: Expectations
    fingerprint: str
    size: int = 0
    update: bool = False

    def kept(self) -> FleetRow | None:
        """Return the row of an earlier run with the same fingerprint, None if there is none."""
        try:
            content = json.loads((self.out / _FILE).read_text(encoding="utf-8"))
            if content["fingerprint"] != self.fingerprint:
                return None
            return dataclasses.replace(FleetRow.from_mapping(content["row"]), kept=True)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def forget(self) -> None:
        """Remove the row of an earlier run, before anything else there is replaced."""
        try:
            (self.out / _FILE).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def keep(self, row: FleetRow) -> None:
        """Write a row for later runs, whole or not at all."""
        content = {"fingerprint": self.fingerprint, "row": row.as_mapping()}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        fresh = self.out / f".{_FILE}"
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self.out / _FILE)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> BagError:
        return BagError(f"cannot write into {self.out} ({error}): choose another --out")


def run_fleet_test(test: FleetTest) -> FleetRow:
    """Replay and check one bag. Whatever goes wrong becomes the row's error, and ends no others."""
    cv2.setNumThreads(1)
    try:
        test.forget()
        result = run_test(test.bag, test.out, test.plan, test.expectations, update=test.update)
        row = _row(test, result)
        if not test.update:  # the fingerprint is that of the golden results before
            test.keep(row)
    except PerceptionError as error:
        return FleetRow(test.bag, test.out, error=" ".join(str(error).split()))
    except Exception as error:  # a defect of ours: the other bags still deserve their answers
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(f"{type(error).__name__}: {error}".split())
        place = f"{Path(where.filename).name}:{where.lineno}"
        return FleetRow(test.bag, test.out, error=f"{text} (at {place}): please report this")
    return row


def _row(test: FleetTest, result: CheckedReplay) -> FleetRow:
    summary = result.run.summary
    timing = summary["timing"]
    dropped: Counter[str] = Counter()
    for node in summary["nodes"].values():
        dropped.update(node["dropped"])
    return FleetRow(
        test.bag,
        test.out,
        timing["frames"],
        timing["times_real_time"] * timing["seconds"],
        timing["seconds"],
        dict(sorted(dropped.items())),
        result.checks,
    )
