"""What a replay is held to: a YAML file, and defaults that hold without one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from cnn_perception.components.registry import drop_reasons
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.replay.expectations.account_checks import check_accounts
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.failure_pictures import clear_pictures
from cnn_perception.replay.expectations.figure_checks import (
    ACCURACY_FIGURES,
    MAP_FIGURES,
    check_figures,
)
from cnn_perception.replay.expectations.golden_checks import check_golden
from cnn_perception.replay.expectations.header_checks import check_headers
from cnn_perception.replay.expectations.label_checks import check_labels
from cnn_perception.replay.expectations.ledger import read_ledger
from cnn_perception.replay.expectations.terms import Bound, Expectations, LabelTerm, Tolerance
from cnn_perception.replay.run import LATENCIES, ReplayRun
from cnn_perception.runtime.section import Section, read_yaml

__all__ = ["check", "load_expectations"]

_KEYS = tuple(field.name for field in fields(Expectations))
_LABEL_KEYS = ("must", "must_not", "window", "min_score", "min_frames", "node")
_COUNTS = ("received", "processed", "dropped")


def check(run: ReplayRun, expectations: Expectations) -> tuple[Check, ...]:
    """Return a check for each expectation, in a stable order, and draw what failed.

    Pictures go to ``failures/`` in the run's folder. Raises BagError for a run or a recording that
    cannot be read.
    """
    clear_pictures(run)
    ledger = read_ledger(run)
    checks = [
        *check_accounts(run, ledger, expectations),
        *check_headers(run, ledger),
        *check_labels(run, expectations.labels),
        *check_figures(run, expectations),
    ]
    if expectations.golden is not None:
        checks += check_golden(run, expectations.golden, expectations.tolerance)
    return tuple(checks)


def load_expectations(path: Path) -> Expectations:
    """Read a YAML file; every key may be left out, an empty file holds the defaults.

    Raises ConfigError for what cannot be read, unknown keys, and values of a wrong type or range.
    """
    try:
        tree = read_yaml(path)
        return _read(Section(path, "", {} if tree is None else tree, _KEYS))
    except ModelError as error:  # Section's own; a file of expectations is a setting
        raise ConfigError(str(error)) from error


def _read(root: Section) -> Expectations:
    golden = root.file.parent / root.text("golden") if "golden" in root else None
    return Expectations(
        golden=golden,
        tolerance=_tolerance(root),
        frames=_nested(root, "frames", _COUNTS),
        drops=_bounds(root.optional("drops", drop_reasons() if "drops" in root else ())),
        rate=_bounds(root.optional("rate")),
        latency=_nested(root, "latency", LATENCIES),
        labels=tuple(_label(entry) for entry in root.sections("labels", _LABEL_KEYS)),
        map=_bounds(root.optional("map", MAP_FIGURES)),
        accuracy=_bounds(root.optional("accuracy", ACCURACY_FIGURES)),
    )


def _tolerance(root: Section) -> Tolerance:
    section = root.optional("tolerance", tuple(field.name for field in fields(Tolerance)))
    most = {"box_3d": 1000.0}
    return Tolerance(**{key: section.number(key, 0.0, most.get(key, 1.0)) for key in section.keys})


def _label(section: Section) -> LabelTerm:
    must = section.texts("must") if "must" in section else ()
    must_not = section.texts("must_not") if "must_not" in section else ()
    if not must and not must_not:
        section.fail("must", "is missing: name labels under must or must_not")
    start, stop = section.numbers("window", 2, 0.0) if "window" in section else (0.0, None)
    if stop is not None and stop <= start:
        section.fail("window", f"= [{start:g}, {stop:g}] ends before it starts: give [from, to]")
    return LabelTerm(
        must,
        must_not,
        (start, stop),
        section.number("min_score", 0.0, 1.0) if "min_score" in section else 0.0,
        section.whole("min_frames", 1, 10**9) if "min_frames" in section else 1,
        section.text("node") if "node" in section else "detector",
    )


def _nested(root: Section, key: str, known: tuple[str, ...]) -> Mapping[str, Mapping[str, Bound]]:
    """Read bounds by node and then by one of the known figures."""
    nodes = root.optional(key)
    return {node: _bounds(nodes.section(node, known)) for node in nodes.keys}


def _bounds(section: Section) -> Mapping[str, Bound]:
    return {key: _bound(section, key) for key in section.keys}


def _bound(section: Section, key: str) -> Bound:
    """Read a number, which is meant exactly, or a mapping with min, max or both."""
    if not isinstance(section.value(key), dict):
        exact = section.number(key)
        return Bound(exact, exact)
    limits = section.section(key, ("min", "max"))
    if not limits.keys:
        section.fail(key, "has neither min nor max: give one, or a number")
    low = limits.number("min") if "min" in limits.keys else -math.inf
    high = limits.number("max") if "max" in limits.keys else math.inf
    if low > high:
        section.fail(key, f"has min {low:g} above max {high:g}: nothing lies between them")
    return Bound(low, high)
