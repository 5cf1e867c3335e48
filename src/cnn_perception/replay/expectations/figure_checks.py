"""Bounds on the figures of the map and of the accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.frame_checks import bounded
from cnn_perception.replay.expectations.schema import Bound, Expectations
from cnn_perception.replay.run import ReplayRun

__all__ = ["check_figures"]


def check_figures(run: ReplayRun, expectations: Expectations) -> Iterator[Check]:
    """Yield the checks of ``map`` and ``accuracy``."""
    yield from _section(
        run, "map", expectations.map, "nothing was mapped: the mapper needs depth and /tf"
    )
    yield from _section(
        run,
        "accuracy",
        expectations.accuracy,
        "nothing was measured: record what was really there, or name it under truth in the plan",
    )


def _section(
    run: ReplayRun, section: str, bounds: Mapping[str, Bound], absent: str
) -> Iterator[Check]:
    figures: Mapping[str, Any] = run.summary.get(section) or {}
    for key, bound in bounds.items():
        name = f"{section}.{key}"
        if not figures:
            yield Check(name, False, absent)
            continue
        value = figures.get(key)
        yield bounded(name, key, float("nan") if value is None else float(value), bound)
