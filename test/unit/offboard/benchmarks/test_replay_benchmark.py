"""The benchmark of replaying: contenders that agree run, one that disagrees is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import models
from cnn_perception.cli.main import app
from cnn_perception.offboard.benchmarks.replay import replay_job
from painted_drive import write_drive

pytestmark = pytest.mark.usefixtures("compiled_kernels")


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    bundles = tmp_path / "models"
    models.write_detector_bundle(bundles / "rooms_ssdlite")
    models.write_segmenter_bundle(bundles / "rooms_fcn")
    monkeypatch.setenv("CNN_PERCEPTION_MODELS", str(bundles))
    return write_drive(tmp_path / "drive")


def test_the_replay_answers_as_a_bare_loop_does(drive: Path, tmp_path: Path) -> None:
    job = replay_job(drive, ("detector", "segmenter", "mapper"), tmp_path / "out")
    assert [each.name for each in job.contenders] == ["bare loop", "decoded before", "replay"]
    assert not job.refused


def test_the_command_tells_overhead_and_speed(drive: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cnn_perception.offboard.benchmarks.machine.use_one_core", lambda: None)
    file = tmp_path / "replay.json"
    done = CliRunner().invoke(
        app, ["bench", "replay", "--bag", str(drive), "--rounds", "1", "--out", str(file)]
    )
    assert done.exit_code == 0, done.output
    assert "overhead" in done.output
    answer = json.loads(file.read_text())
    assert answer["equal"]
    for result in answer["results"]:
        assert all(row["cpu_ms"]["median"] > 0 for row in result["contenders"].values())
