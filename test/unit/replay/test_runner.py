"""A whole test: what it leaves, what it compares with, and what it must not destroy."""

from __future__ import annotations

from pathlib import Path

import pytest

import recorded_robot as robot
from cnn_perception.errors import BagError, ConfigError
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.runner import run_test

pytestmark = pytest.mark.usefixtures("compiled_kernels")


@pytest.fixture
def plan(bundles):
    return robot.plan_for(bundles, *robot.ALL)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return robot.write(tmp_path / "bag", robot.drive(5))


def count(run_folder: Path) -> int:
    with BagReader(run_folder / "results") as results:
        return results.topic("/detector/detections").count


def test_a_replay_is_compared_with_the_one_before(bag: Path, plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run_test(bag, out, plan)
    assert first.passed
    assert "Against the replay before" not in (out / "report.html").read_text()
    second = run_test(bag, out, plan)
    assert second.run.summary["digests"] == first.run.summary["digests"]
    assert "Nothing changed" in (out / "report.html").read_text()
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize(
    ("other", "reason"),
    [("nowhere", "no bag at"), ("out/results", "is itself what a replay left")],
)
def test_a_replay_that_fails_leaves_the_one_before(
    bag: Path, plan, tmp_path: Path, other: str, reason: str
) -> None:
    out = tmp_path / "out"
    run_test(bag, out, plan)
    with pytest.raises(BagError, match=reason):
        run_test(tmp_path / other, out, plan)
    assert count(out) == 5


def test_an_update_needs_a_golden(bag: Path, plan, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name no golden"):
        run_test(bag, tmp_path / "out", plan, Expectations(), update=True)
