"""What a replay is held to: a YAML file, and defaults that hold without one."""

from __future__ import annotations

from pathlib import Path

from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.failure_pictures import clear_pictures
from cnn_perception.replay.expectations.frame_checks import check_figures, check_frames
from cnn_perception.replay.expectations.frame_statistics import read_frame_statistics
from cnn_perception.replay.expectations.golden_checks import check_golden
from cnn_perception.replay.expectations.header_checks import check_headers
from cnn_perception.replay.expectations.label_checks import check_labels
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.run import ReplayRun
from cnn_perception.settings.files import load

__all__ = ["check", "load_expectations"]


def check(run: ReplayRun, expectations: Expectations) -> tuple[Check, ...]:
    """Return a check for each expectation, in a stable order, and draw what failed.

    Pictures go to ``failures/`` in the run's folder. Raises BagError for a run or a recording that
    cannot be read.
    """
    clear_pictures(run)
    statistics = read_frame_statistics(run)
    checks = [
        *check_frames(run, statistics, expectations),
        *check_headers(run, statistics),
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
    return load(path, Expectations)
