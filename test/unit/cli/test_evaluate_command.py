from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cnn_perception.cli.main import app
from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.datasets.rooms import save_shard
from cnn_perception.errors import ModelError


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = [
        LabelledImage(
            rng.integers(0, 256, (48, 64, 3)).astype(np.uint8),
            np.full((48, 64), 1, np.uint8),
            np.array([[4, 4, 30, 40]], np.float32),
            np.array([1], np.int32),
            np.array([False]),
        )
        for _ in range(3)
    ]
    save_shard(tmp_path / "eval.npz", images)
    return tmp_path / "eval.npz"


def test_figures_of_a_segmenter_as_json(repository: Path, shard: Path) -> None:
    model = str(repository / "models" / "rooms_fcn")
    result = CliRunner().invoke(app, ["evaluate", model, "--data", str(shard), "--json"])
    assert result.exit_code == 0, result.output
    quality = json.loads(result.stdout)
    assert quality["images"] == 3
    assert 0 <= quality["miou"] <= 1
    assert quality["iou"]["floor"] == pytest.approx(quality["pixel_accuracy"])


def test_figures_of_a_detector_as_a_table(repository: Path, shard: Path) -> None:
    model = str(repository / "models" / "rooms_ssdlite")
    arguments = ["evaluate", model, "--data", str(shard), "--rooms", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    rows = dict(
        tuple(cell.strip() for cell in line.strip("│ ").split("│"))
        for line in result.output.splitlines()
        if line.startswith("│")
    )
    assert rows["images"] == "2" and rows["objects"] == "2"
    assert rows["ap_50  chair"] == "-"


def test_bundle_with_other_classes_is_refused(
    repository: Path, shard: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    source = repository / "models" / "rooms_fcn"
    text = (source / "model.yaml").read_text(encoding="utf-8")
    (folder / "model.onnx").write_bytes((source / "model.onnx").read_bytes())
    (folder / "model.yaml").write_text(text.replace("floor,", "ground,"), encoding="utf-8")
    result = CliRunner().invoke(app, ["evaluate", str(folder), "--data", str(shard)])
    assert isinstance(result.exception, ModelError)
    assert "does not know the classes" in str(result.exception)
