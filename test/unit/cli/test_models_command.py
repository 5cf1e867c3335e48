"""``models list / check / add``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cnn_perception.cli.main import app
from cnn_perception.errors import ModelError
from models import write_detector_bundle, write_segmenter_bundle


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path with a detector, a segmenter, and a bundle without its network."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("CNN_PERCEPTION_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    write_detector_bundle(tmp_path / "models" / "colors")
    write_segmenter_bundle(tmp_path / "models" / "areas")
    lacking = write_segmenter_bundle(tmp_path / "models" / "lacking")
    (lacking / "model.onnx").rename(tmp_path / "fetched.onnx")
    return tmp_path / "models"


def _run(*arguments: Any) -> str:
    result = CliRunner().invoke(app, ["models", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_list(folder: Path) -> None:
    rows = {row["name"]: row for row in json.loads(_run("list", "--json"))}
    assert rows["colors"]["task"] == "detection"
    assert (rows["colors"]["explains"], rows["areas"]["explains"]) == (True, False)
    assert rows["colors"]["folder"] == str(folder / "colors")
    assert not rows["lacking"]["usable"]
    assert "models add lacking FILE" in rows["lacking"]["error"]
    text = _run("list")
    assert "answers by color" in text
    assert "not usable" in text


def test_list_of_what_can_be_pulled(folder: Path) -> None:
    lines = _run("list", "--available").splitlines()
    first = lines.index("detection: map_50_95 on COCO val2017")
    names = [line.split()[0] for line in lines[first + 1 : lines.index("", first)]]
    assert {"fastestdet", "ssd300_vgg16"} <= set(names)
    assert "resnet18" not in names
    (line,) = (line for line in lines if line.split()[:1] == ["resnet18"])
    assert line.split()[1:] == ["0.698", "45", "MB", "BSD-3-Clause"]


def test_a_published_network_that_is_not_here_is_to_be_pulled(folder: Path) -> None:
    lacking = folder / "ultraface"
    shutil.copytree(folder / "lacking", lacking)
    rows = {row["name"]: row for row in json.loads(_run("list", "--json"))}
    assert rows["ultraface"]["error"] == (
        "not fetched yet: run 'cnn-perception models pull ultraface'"
    )


def test_check(folder: Path) -> None:
    text = _run("check", "colors")
    assert "red, green, blue" in text
    assert "everything fits" in text
    facts = json.loads(_run("check", folder / "areas", "--json"))
    assert facts["output"] == "mask_index"
    assert facts["runs on"].endswith("ExecutionProvider")
    file = folder / "colors" / "model.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace("width: 128", "width: 64"), encoding="utf-8"
    )
    with pytest.raises(ModelError, match=r"needs float32 \[1, 3, 96, 64\]"):
        _run("check", "colors")


def test_add(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="models add lacking FILE"):
        _run("check", "lacking")
    # The search path of the test comes before the user's own folder: take the shipped one away.
    _run("add", tmp_path / "models" / "lacking", tmp_path / "fetched.onnx")
    copy = tmp_path / "data" / "cnn_perception" / "models" / "lacking"
    assert "everything fits" in _run("check", copy)


@pytest.mark.parametrize("command", ["detect", "segment", "explain", "models"])
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from cnn_perception.cli.main import app\n"
        f"result = CliRunner().invoke(app, ['{command}', '--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'torch', 'rclpy', 'yaml', 'numba'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
