"""``train``, on folders of bright and dark pictures that LeNet-5 tells apart."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.cli.main import app  # noqa: E402
from cnn_perception.errors import ConfigError, DatasetError  # noqa: E402
from cnn_perception.offboard.training.checkpoint import read_state  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from dataset_trees import write_picture  # noqa: E402

PLAN = """
task: classification
network: {name: lenet5, weights: none}
augmentation: {geometry: none, flip: 0.5}
optimisation:
  length: 1000
  batch: 4
  learning_rate: 0.01
  schedule: constant
  threads: 1
  workers: 0
  device: cpu
  report_every: 1
  ema_decay: 0.5
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan, beside the pictures that it is about."""
    folder = tmp_path_factory.mktemp("plan")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for level, name in ((40, "dark"), (200, "bright")):
            for k in range(count):
                noise = rng.integers(0, 40, (36, 36, 3)).astype(np.uint8)
                write_picture(folder / "pictures" / split / name / f"{k}.png", noise + level)
    path = folder / "plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def arguments(plan: Path, out: Path, *more: str) -> list[str]:
    data = plan.parent / "pictures"
    return ["train", str(plan), "--set", f"data.path={data}", "--out", str(out), *more]


def train(plan: Path, out: Path, *more: str) -> str:
    result = CliRunner().invoke(app, arguments(plan, out, *more))
    if result.exception is not None:
        raise result.exception
    return result.output


def test_from_a_plan_to_a_measured_bundle(plan: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")
    out = tmp_path / "light"
    output = train(plan, out, "--set", "optimisation.length=30")
    assert "step 30 of 30 measured: " in output.replace("\n", " ")
    bundle = load_bundle(out / "light")
    assert bundle.labels == ("bright", "dark")
    assert bundle.quality["dataset"] == "pictures, val" and bundle.quality["images"] == 4
    assert bundle.quality["top_1"] == 1.0
    assert read_state(out / "best.pt")["plan"]["optimisation"]["length"] == 30


def test_another_run_lends_its_weights(plan: Path, tmp_path: Path) -> None:
    train(plan, tmp_path / "one", "--steps", "3", "--no-export")
    head = ("--set", "optimisation.train_layers=head")
    start = ("--start", str(tmp_path / "one" / "checkpoint.pt"))
    train(plan, tmp_path / "two", *start, *head, "--steps", "2", "--no-export")
    one = read_state(tmp_path / "one" / "checkpoint.pt")["average"]
    two = read_state(tmp_path / "two" / "checkpoint.pt")["network"]
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert changed == {name for name in one if name.startswith("classifier.2")}
    assert not (tmp_path / "one" / "one").exists()


def test_ctrl_c_saves_and_resume_goes_on_exactly(plan: Path, tmp_path: Path) -> None:
    program = "from cnn_perception.cli.main import main; main()"
    workers = ("--set", "optimisation.workers=1")
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments(plan, tmp_path / "parts", *workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "step 2 of 1000 (" in line:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
    assert process.wait(timeout=120) == 130, "".join(lines)
    assert "interrupted; the same command with --resume goes on" in "".join(lines)
    assert "Traceback" not in "".join(lines)
    step = read_state(tmp_path / "parts" / "checkpoint.pt")["step"]
    assert 2 <= step < 1000
    last = ("--steps", str(step + 3), "--no-export")
    train(plan, tmp_path / "parts", "--resume", *last)
    train(plan, tmp_path / "straight", *last)
    parts, straight = (
        read_state(tmp_path / name / "checkpoint.pt") for name in ("parts", "straight")
    )
    for key in ("network", "average"):
        assert all(torch.equal(parts[key][name], straight[key][name]) for name in parts[key])
    with (tmp_path / "parts" / "metrics.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, step + 4))


def test_what_cannot_go_on_is_refused(plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"no checkpoint\.pt: leave out --resume"):
        train(plan, out, "--resume")
    with pytest.raises(ConfigError, match="give one of them"):
        train(plan, out, "--resume", "--start", "x.pt")
    train(plan, out, "--steps", "1", "--no-export")
    with pytest.raises(ConfigError, match="holds a run: go on with --resume"):
        train(plan, out)
    with pytest.raises(ConfigError, match=r"optimisation\.batch = 2, but the run in .*run began"):
        train(plan, out, "--resume", "--set", "optimisation.batch=2")


def test_data_that_are_not_there_are_refused(plan: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        train(plan, tmp_path, "--data", "nowhere")
    with pytest.raises(DatasetError, match="test"):
        train(plan, tmp_path, "--set", "data.validation=test")
    with pytest.raises(ConfigError, match=r"no data\.path in the plan"):
        train(plan, tmp_path, "--set", "data.path=''")
