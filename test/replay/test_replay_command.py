"""``cnn-perception replay``: one bag and many, its exit codes, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner, Result

from cnn_perception.cli.main import app
from painted_drive import FRAMES

PLAN = {"mapper": False, "explainer": False}
TOO_MANY = {"frames": {"detector": {"processed": FRAMES + 1}}}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNN_PERCEPTION_MODELS", str(bundles))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    (tmp_path / "expect.yaml").write_text(yaml.safe_dump(TOO_MANY), encoding="utf-8")


@pytest.fixture
def bags(drive: Path, tmp_path: Path) -> Path:
    """Two bags in a folder."""
    for name in ("a", "b"):
        shutil.copytree(drive, tmp_path / "bags" / name)
    return tmp_path / "bags"


def run(*words: object) -> Result:
    arguments = ["replay", *(str(word) for word in words), "-c", "plan.yaml"]
    result = CliRunner().invoke(app, arguments, prog_name="cnn-perception")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def suites(file: Path) -> dict[str | None, tuple[str | None, str | None]]:
    root = ElementTree.parse(file).getroot()
    return {each.get("name"): (each.get("failures"), each.get("errors")) for each in root}


def test_one_bag_leaves_its_results_in_the_folder(drive: Path, tmp_path: Path) -> None:
    result = run(drive, "-o", "out", "--junit", "junit.xml")
    assert result.exit_code == 0, result.output
    assert re.search(rf"detector +{FRAMES} +{FRAMES} +0 ", result.stdout)
    assert f"{2 * FRAMES} frames in " in result.stdout
    assert "report: out/report.html" in result.stdout
    for name in ("metrics.json", "frames.csv", "report.html", "results/metadata.yaml"):
        assert (tmp_path / "out" / name).is_file()
    assert suites(tmp_path / "junit.xml") == {"drive": ("0", "0")}


def test_an_expectation_that_is_not_met_is_exit_code_1(drive: Path, tmp_path: Path) -> None:
    result = run(drive, "-o", "out", "-e", "expect.yaml", "--junit", "junit.xml")
    assert result.exit_code == 1
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("failed: "))
    assert "detector" in line and str(FRAMES + 1) in line
    assert suites(tmp_path / "junit.xml") == {"drive": ("1", "0")}


def test_json_has_the_metrics_and_every_check(drive: Path, tmp_path: Path) -> None:
    result = run(drive, "-o", "out", "-e", "expect.yaml", "--json")
    told = json.loads(result.stdout)
    assert not told["passed"]
    assert sum(not check["passed"] for check in told["checks"]) == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {key: told[key] for key in metrics} == metrics


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["absent"], "no bag at absent"),
        (["bags"], "give 'bags/*'"),
        (["none/*"], "no bag matches 'none/*'"),
        (["bags/a", "-e", "absent.yaml"], "absent.yaml"),
        (["bags/a", "--update"], "nothing to update"),
        (["bags/*", "--update"], "nothing to update"),
        (["bags/a", "-e", "expect.yaml", "--junit", "plan.yaml/x.xml"], "cannot write"),
        (["bags/a", "--ray", "127.0.0.1:1"], "no Ray cluster answers at '127.0.0.1:1'"),
        (["bags/a", "--ray", "host:port"], "no Ray cluster answers at 'host:port'"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(
    bags: Path, words: list[str], text: str
) -> None:
    result = run(*words, "-o", "out")
    assert result.exit_code == 2
    assert text in result.stderr and result.stderr.count("\n") == 1


def test_many_bags_have_one_table_and_a_folder_each(bags: Path, tmp_path: Path) -> None:
    result = run("bags/*", "-o", "out", "--junit", "junit.xml")
    assert result.exit_code == 0, result.output
    assert re.search(rf"a +{2 * FRAMES} .* passed", result.stdout)
    assert re.search(rf"2 bags +{4 * FRAMES} .* 2 passed", result.stdout)
    assert "reports: out/index.html" in result.stdout
    assert (tmp_path / "out" / "b" / "report.html").is_file()
    assert suites(tmp_path / "junit.xml") == {"a": ("0", "0"), "b": ("0", "0")}
    again = run("bags/*", "-o", "out", "--json")
    assert [row["kept"] for row in json.loads(again.stdout)["bags"]] == [True, True]
    fresh = run("bags/*", "-o", "out", "--json", "--fresh")
    assert [row["kept"] for row in json.loads(fresh.stdout)["bags"]] == [False, False]


def test_a_broken_bag_among_many_wins_over_a_failed_one(bags: Path, tmp_path: Path) -> None:
    result = run("bags/a", "bags/b", "-o", "out", "-e", "expect.yaml")
    assert result.exit_code == 1
    (bags / "b" / "b.mcap").write_bytes(b"")
    (bags / "b" / "metadata.yaml").unlink()
    result = run("bags/*", "-o", "out", "-e", "expect.yaml", "--junit", "junit.xml")
    assert result.exit_code == 2
    assert "b: " in result.stdout and "no finished rosbag2 recording" in result.stdout
    assert suites(tmp_path / "junit.xml") == {"a": ("1", "0"), "b": ("0", "1")}


@pytest.mark.parametrize(
    "workers",
    [
        "1",
        pytest.param(
            "2",
            marks=pytest.mark.skipif(find_spec("ray") is None, reason="no Ray: pip install ray"),
        ),
    ],
)
def test_ctrl_c_leaves_what_is_finished_and_the_same_command_goes_on(
    bags: Path, tmp_path: Path, workers: str
) -> None:
    for index in range(6):
        shutil.copytree(bags / "a", bags / str(index))
    words = ["bags/*", "-c", "plan.yaml", "-o", "out", "--workers", workers]
    script = "from cnn_perception.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "replay", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("1 of 8: "):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert re.search(r"stopped: \d bags are left; the same command goes on", rest)
    told = json.loads((tmp_path / "out" / "fleet.json").read_text())
    finished = {row["name"] for row in told["bags"]}
    assert 1 <= len(finished) < 8
    assert len(finished) + len(told["left"]) == 8
    for name in finished:
        assert (tmp_path / "out" / name / "report.html").is_file()
    rows = json.loads(run("bags/*", "-o", "out", "--json").stdout)["bags"]
    # A worker may have finished another one that was not yet told.
    assert {row["name"] for row in rows if row["kept"]} >= finished
    assert all(row["verdict"] == "passed" for row in rows)
