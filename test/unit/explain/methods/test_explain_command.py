"""``explain --method``: what is written for a network that is opened with PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.cli.explain import Method  # noqa: E402
from cnn_perception.cli.main import app  # noqa: E402
from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.explain.methods.network import open_network  # noqa: E402
from cnn_perception.training.checkpoint import write_state  # noqa: E402

LENET = ("--network", "lenet5")
SHEETS = {Method.activations, Method.filters}
GRADIENTS = {Method.guided, Method.deconvnet, Method.guided_gradcam}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of noise, 60 x 80."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    file = tmp_path / "noise.png"
    assert cv2.imwrite(str(file), noise)
    return file


def _explain(*arguments: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["explain", *(str(argument) for argument in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("method", [x for x in Method if x is not Method.cam])
def test_every_method(tmp_path: Path, picture: Path, method: Method) -> None:
    out = tmp_path / "out"
    said = _explain(picture, *LENET, "--method", method.value, "--target", "3", "--out", out)
    overlay = cv2.imread(str(out / "noise.explanations.jpg"))
    assert overlay.shape == (60, 80, 3)
    (record,) = json.loads((out / "explanations.json").read_text(encoding="utf-8"))
    found = record["explanation"]
    assert found["method"] == method.value
    maps = {file.name.split(".")[1] for file in out.glob("*.png")}
    if method in SHEETS:
        assert maps == {method.value}
        return
    assert maps == ({"heat", "gradient"} if method in GRADIENTS else {"heat"})
    assert (found["label"], found["class_id"]) == ("class 3", 3)
    assert f"class 3 {found['score']:.2f}, {method.value}" in said
    heat = cv2.imread(str(out / "noise.heat.png"), cv2.IMREAD_UNCHANGED)
    assert (heat.dtype, heat.shape) == (np.uint16, (60, 80))
    assert heat.max() > 60000
    # The classifier is shown the middle only.
    assert not heat[:, :10].any() and not heat[:, -10:].any()


def test_cam_takes_the_last_maps_and_says_where_it_cannot_be(tmp_path: Path, picture: Path) -> None:
    said = _explain(picture, "--network", "resnet18", "--method", "cam", "-o", tmp_path / "out")
    assert "cam layer4" in said
    said = _explain(picture, *LENET, "--method", "cam", "-o", tmp_path / "no", code=1)
    assert "averages of layer features.4" in said


@pytest.mark.parametrize("name", ["rooms_fcn", "rooms_ssdlite"])
@pytest.mark.parametrize("method", [x for x in Method if x not in (Method.cam, Method.occlusion)])
def test_every_method_of_a_bundle(
    tmp_path: Path, repository: Path, name: str, method: Method
) -> None:
    room = repository / "models" / "room.jpg"
    arguments = ("--model", name, "--method", method.value, "--target", "table")
    said = _explain(room, *arguments, "--out", tmp_path)
    (record,) = json.loads((tmp_path / "explanations.json").read_text(encoding="utf-8"))
    assert record["explanation"]["method"] == method.value
    if method in SHEETS:
        assert (tmp_path / f"room.{method.value}.png").is_file()
        return
    assert record["explanation"]["label"] == "table" and f"{method.value}" in said
    heat = cv2.imread(str(tmp_path / "room.heat.png"), cv2.IMREAD_UNCHANGED)
    assert (heat.shape, heat.max()) == ((480, 640), 65535)


def test_a_checkpoint_of_this_package(tmp_path: Path, picture: Path) -> None:
    network = open_network("lenet5").network
    plan = {"task": "classification", "network": {"name": "lenet5"}}
    labels = [f"digit {k}" for k in range(10)]
    file = tmp_path / "best.pt"
    write_state(file, {"average": network.state_dict(), "plan": plan, "labels": labels})
    arguments = ("--weights", file, "--method", "saliency", "--target", "digit 7")
    said = _explain(picture, *arguments, "-o", tmp_path / "out")
    assert "digit 7 0." in said and "saliency" in said


def test_what_cannot_be_explained_is_said(tmp_path: Path, picture: Path) -> None:
    out = ("-o", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"layer = 'conv1' .* choose one, as .*conv2d"):
        _explain(picture, "--layer", "conv1", *out)
    with pytest.raises(ConfigError, match=r"layer = 'features\.9' is not in the network"):
        _explain(picture, *LENET, "--layer", "features.9", *out)
    with pytest.raises(ConfigError, match="weights = 'imagenet' are of a network"):
        _explain(picture, "--weights", "imagenet", *out)
    with pytest.raises(ConfigError, match="saliency is of the whole network"):
        _explain(picture, *LENET, "--layer", "features.0", "--method", "saliency", *out)
    with pytest.raises(ConfigError, match="target = 'cat' is no class of lenet5"):
        _explain(picture, *LENET, "--target", "cat", *out)
    assert "target = 10 is no class" in _explain(picture, *LENET, "--target", 10, *out, code=1)
