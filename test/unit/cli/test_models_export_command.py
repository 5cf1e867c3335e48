"""``models export``: checkpoints made here, of tiny networks that learnt nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")

from cnn_perception.cli.main import app  # noqa: E402
from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.offboard.simulation.labels import OBJECT_CLASSES  # noqa: E402
from cnn_perception.offboard.training.checkpoint import load_checkpoint  # noqa: E402
from cnn_perception.offboard.training.eager import eager_network  # noqa: E402
from cnn_perception.offboard.training.plan import parse_plan  # noqa: E402
from cnn_perception.offboard.training.tasks import make_task  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.runtime.inference import Session  # noqa: E402

CLASSIFIER = {
    "task": "classification",
    "network": {"name": "lenet5", "weights": "none"},
    "data": {"path": "digits"},
}
ROOMS = {
    "task": "rooms",
    "network": {
        "image_width": 64,
        "image_height": 64,
        "width": 0.25,
        "box_width": 16,
        "mask_width": 16,
        "default_boxes": {
            "scales": [0.1, 0.3, 0.6, 0.9],
            "aspect_ratios": [[2], [2, 3], [2]],
        },
    },
}


def checkpoint(file: Path, tree: dict[str, Any], labels: tuple[str, ...]) -> Path:
    """Write what a run leaves behind, as far as export reads it."""
    torch.manual_seed(0)
    network = make_task(parse_plan(tree, "test"), labels).build()
    torch.save(
        {"average": network.state_dict(), "plan": tree, "labels": list(labels), "step": 12}, file
    )
    return file


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        picture = rng.integers(0, 256, (90, 120, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(app, ["models", "export", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_classifier_becomes_a_bundle_of_any_batch(tmp_path: Path, pictures: Path) -> None:
    file = checkpoint(tmp_path / "best.pt", CLASSIFIER, ("zero", "one"))
    out = tmp_path / "digits"
    given = ("--data", pictures, "--dynamic-batch", "--opset", 18, "--json")
    (row,) = json.loads(run(file, "--out", out, *given))
    assert row["folder"] == str(out)
    assert row["opset"] == 18 and row["difference"] < 1e-4
    assert row["megabytes"] > 0 and row["milliseconds"] > 0
    bundle = load_bundle(out)
    assert bundle.labels == ("zero", "one")
    spec = bundle.input
    batch = np.zeros((3, 3, spec.height, spec.width), np.float32)
    assert Session(bundle).run({spec.name: batch})["class_logits"].shape == (3, 2)
    assert yaml.safe_load((out / "training.yaml").read_text())["data"] == {"path": "digits"}


def test_rooms_become_two_bundles(tmp_path: Path, pictures: Path) -> None:
    file = checkpoint(tmp_path / "best.pt", ROOMS, OBJECT_CLASSES)
    text = run(file, "--out", tmp_path / "out", "--data", pictures)
    assert "proven on 2 images; step 12" in text
    assert load_bundle(tmp_path / "out" / "rooms_ssdlite").explain
    assert load_bundle(tmp_path / "out" / "rooms_fcn").output.name == "mask_index"


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match=r"model\.onnx is not a readable checkpoint"):
        run(tmp_path / "model.onnx", "--out", tmp_path / "out", "--data", pictures)
    file = checkpoint(tmp_path / "best.pt", CLASSIFIER, ("zero", "one"))
    with pytest.raises(ConfigError, match="opset = 7: choose 18 to"):
        run(file, "--out", tmp_path / "out", "--data", pictures, "--opset", 7)
    with pytest.raises(ConfigError, match="no pictures"):
        (tmp_path / "empty").mkdir()
        run(file, "--out", tmp_path / "out", "--data", tmp_path / "empty")
    assert not (tmp_path / "out").exists()


def test_exported_bundles_are_as_pytorch_runs_them(tmp_path: Path, pictures: Path) -> None:
    file = checkpoint(tmp_path / "best.pt", CLASSIFIER, ("zero", "one"))
    run(file, "--out", tmp_path / "digits", "--data", pictures)
    loaded, bundle = load_checkpoint(file), load_bundle(tmp_path / "digits")
    image = np.random.default_rng(0).random((1, 3, bundle.input.height, bundle.input.width))
    wanted = eager_network(loaded, bundle)(image.astype(np.float32))["class_logits"]
    found = Session(bundle).run({bundle.input.name: image.astype(np.float32)})["class_logits"]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
