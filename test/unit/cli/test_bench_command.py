"""``cnn-perception bench mapping``, as a process of its own: it binds itself to one core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from painted_drive import write_drive

pytest.importorskip("octomap", reason="octomap-python is not installed")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = "from cnn_perception.cli.main import main; main()"
    words = [sys.executable, "-c", command, "bench", "mapping", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def test_the_result_as_json_and_in_a_file(tmp_path: Path) -> None:
    drive = write_drive(tmp_path / "drive")
    sizes = ["--resolution", 0.2, "--resolution", 0.4, "--frames", 2, "--rounds", 1]
    done = run("--data", drive, *sizes, "--json", "--out", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "result.json").read_text())
    assert printed["equal"] is True
    assert [(each["resolution"], each["mode"]) for each in printed["results"]] == [
        (0.2, "full"),
        (0.2, "discretized"),
        (0.4, "full"),
        (0.4, "discretized"),
    ]
    assert printed["settings"]["points"] == 2 * 160 * 120


def test_the_result_as_a_table(tmp_path: Path) -> None:
    drive = write_drive(tmp_path / "drive")
    done = run("--data", drive, "--resolution", 0.4, "--frames", 1, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    assert "0.4 m full: " in done.stdout
    assert "1 frames of drive, 19200 points each, 1 rounds" in done.stdout
    assert "octomap-python" in done.stdout


def test_data_that_are_none_end_in_one_line(tmp_path: Path) -> None:
    done = run("--data", tmp_path / "nothing")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: no bag at ")
    assert len(done.stderr.strip().splitlines()) == 1
