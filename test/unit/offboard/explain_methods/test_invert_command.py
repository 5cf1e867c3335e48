"""``invert``, and ``explain`` without a picture: what is written, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.cli.main import app  # noqa: E402
from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.network import open_network  # noqa: E402
from cnn_perception.offboard.training.checkpoint import write_state  # noqa: E402

LENET = ("--network", "lenet5")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A smooth picture, 60 x 80."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    file = tmp_path / "smooth.png"
    assert cv2.imwrite(str(file), cv2.resize(noise, (80, 60), interpolation=cv2.INTER_CUBIC))
    return file


def _run(*arguments: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def _files(out: Path) -> set[str]:
    return {file.name for file in out.iterdir()}


def test_layers_and_weights_make_a_table(tmp_path: Path, picture: Path) -> None:
    out = tmp_path / "out"
    layers = ("--layer", "features.0", "--layer", "features.0,features.3")
    weights = ("--tv", 0.01, "--tv", 1, "--tv", 1, "--snapshot", 2)
    said = _run("invert", picture, *LENET, *layers, *weights, "--steps", 20, "-o", out)
    pictures = {
        f"smooth.invert.{layer}.tv-{tv}{step}.png"
        for layer in ("features.0", "features.0+features.3")
        for tv in ("0.01", "1")
        for step in ("", "-step-2")
    }
    further = {"smooth.invert.table.png", "smooth.invert.losses.png", "invert.json"}
    assert _files(out) == pictures | further
    records = json.loads((out / "invert.json").read_text(encoding="utf-8"))
    assert [(x["layers"], x["tv"]) for x in records] == [
        (["features.0"], 0.01),
        (["features.0"], 1.0),
        (["features.0", "features.3"], 0.01),
        (["features.0", "features.3"], 1.0),
    ]
    for record in records:
        assert (record["width"], record["height"], record["rate"], record["seed"]) == (
            32,
            32,
            0.2,
            0,
        )
        assert set(record["losses"]) == {"features", "total variation"}
        assert len(record["losses"]["features"]) == 21
    first = records[0]["losses"]["features"]
    assert first[0] > 5 * first[-1]
    assert f"features.0 tv 0.01: features {first[0]:.3g} -> {first[-1]:.3g}" in said
    found = cv2.imread(str(out / "smooth.invert.features.0.tv-0.01.png"))
    assert found.shape == (32, 32, 3)
    # LeNet-5 sees the mean of the colors only.
    seen = cv2.resize(cv2.imread(str(picture))[3:57, 13:67], (32, 32), interpolation=cv2.INTER_AREA)
    distance = np.abs(found.mean(2) - seen.mean(2)).mean()
    start = cv2.imread(str(out / "smooth.invert.features.0.tv-0.01-step-2.png"))
    assert distance < 0.5 * np.abs(start.mean(2) - seen.mean(2)).mean()


def test_the_same_command_writes_the_same_pictures(tmp_path: Path, picture: Path) -> None:
    arguments = ("invert", picture, *LENET, "--layer", "features.3", "--steps", 3)
    name = "smooth.invert.features.3.found.png"
    one, again, other = (
        (_run(*arguments, "--seed", seed, "-o", tmp_path / out), (tmp_path / out / name))[1]
        for seed, out in ((1, "one"), (1, "again"), (2, "other"))
    )
    assert one.read_bytes() == again.read_bytes() != other.read_bytes()


def test_a_texture_and_a_style(tmp_path: Path, picture: Path, repository: Path) -> None:
    out = tmp_path / "out"
    _run("invert", picture, *LENET, "--texture", "--steps", 3, "-o", out)
    (record,) = json.loads((out / "texture.json").read_text(encoding="utf-8"))
    assert (record["kind"], record["layers"]) == ("texture", ["features.1", "features.4"])
    assert set(record["losses"]) == {"style", "total variation"}
    room = repository / "models" / "room.jpg"
    arguments = ("invert", picture, *LENET, "--style", room, "--steps", 3, "--json", "-o", out)
    printed = CliRunner().invoke(app, [str(argument) for argument in arguments]).stdout
    (record,) = json.loads(printed)
    assert [record] == json.loads((out / "style.json").read_text(encoding="utf-8"))
    assert record["style"] == str(room)
    assert record["layers"] == ["features.1"]
    assert set(record["losses"]) == {"content", "style", "total variation"}
    assert {"smooth.style.features.1.found.png", "smooth.style.table.png"} <= _files(out)


def test_a_bundle_and_a_checkpoint(tmp_path: Path, picture: Path) -> None:
    network = open_network("lenet5").network
    file = tmp_path / "best.pt"
    plan = {"task": "classification", "network": {"name": "lenet5"}}
    labels = [f"digit {k}" for k in range(10)]
    write_state(file, {"average": network.state_dict(), "plan": plan, "labels": labels})
    _run("invert", picture, "--weights", file, "--steps", 2, "-o", tmp_path / "out")
    records = json.loads((tmp_path / "out" / "invert.json").read_text(encoding="utf-8"))
    assert [x["layers"] for x in records] == [["features.1"], ["features.4"]]
    arguments = ("--model", "rooms_ssdlite", "--layer", "conv2d", "--steps", 2)
    _run("invert", picture, *arguments, "-o", tmp_path / "out")
    (record,) = json.loads((tmp_path / "out" / "invert.json").read_text(encoding="utf-8"))
    assert (record["network"], record["width"]) == ("rooms_ssdlite", 256)


def test_a_size_and_published_names(tmp_path: Path, picture: Path) -> None:
    arguments = ("--network", "resnet18", "--layer", "conv2_1", "--size", 40, "--steps", 2)
    _run("invert", picture, *arguments, "-o", tmp_path)
    assert cv2.imread(str(tmp_path / "smooth.invert.conv2_1.found.png")).shape == (40, 40, 3)


def test_what_cannot_be_inverted_is_said(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(ConfigError, match="layer = 'conv9' is not in the network: choose one, as"):
        _run("invert", picture, *LENET, "--layer", "features.0,conv9")
    with pytest.raises(ConfigError, match="size = 40: lenet5 cannot take images of 40x40, its own"):
        _run("invert", picture, *LENET, "--size", 40)
    with pytest.raises(ConfigError, match=r"nothing\.jpg: No such file"):
        _run("invert", tmp_path / "nothing.jpg", *LENET)
    with pytest.raises(ConfigError, match="--texture is of IMAGE alone"):
        _run("invert", picture, *LENET, "--texture", "--style", picture)
    assert "Invalid value for '--tv'" in _run("invert", picture, *LENET, "--tv", -1, code=2)
    with pytest.raises(ConfigError, match="snapshots = 4: give steps of 0 to 3"):
        _run("invert", picture, *LENET, "--steps", 3, "--snapshot", 4, "-o", tmp_path / "no")


def test_a_class_and_a_channel_are_maximised_from_noise(tmp_path: Path) -> None:
    arguments = ("explain", *LENET, "--method", "maximisation", "--target", 3, "--steps", 30)
    said = _run(*arguments, "-o", tmp_path)
    assert _files(tmp_path) == {
        "lenet5.explanations.jpg",
        "lenet5.maximisation.png",
        "explanations.json",
    }
    (record,) = json.loads((tmp_path / "explanations.json").read_text(encoding="utf-8"))
    found = record["explanation"]
    assert (found["class_id"], found["steps"], found["layer"]) == (3, 30, None)
    assert found["after"] > found["before"] + 0.5
    assert f"class 3: {found['before']:.3g} -> {found['after']:.3g}" in said
    assert cv2.imread(str(tmp_path / "lenet5.maximisation.png")).shape == (32, 32, 3)
    said = _run(*arguments, "--layer", "features.3", "-o", tmp_path)
    assert "channel 3 of features.3: " in said


def test_a_picture_is_where_maximisation_begins(tmp_path: Path, picture: Path) -> None:
    arguments = ("--method", "maximisation", "--target", 3, "--steps", 2)
    said = _run("explain", picture, *LENET, *arguments, "-o", tmp_path)
    (record,) = json.loads((tmp_path / "explanations.json").read_text(encoding="utf-8"))
    found = record["explanation"]
    assert f"smooth.png: class 3: {found['before']:.3g} -> {found['after']:.3g}" in said
    # Before anything is changed it is what the network says of the picture.
    opened = open_network("lenet5")
    rgb = np.ascontiguousarray(cv2.imread(str(picture))[:, :, ::-1])
    logits = opened.answer(opened.prepare(rgb)[0])
    assert found["before"] == pytest.approx(float(logits[0, 3]), rel=1e-4)


def test_filters_need_no_picture(tmp_path: Path) -> None:
    said = _run("explain", *LENET, "--method", "filters", "-o", tmp_path)
    assert "lenet5, filters" in said
    assert {"lenet5.filters.png", "lenet5.explanations.jpg"} <= _files(tmp_path)


def test_what_cannot_be_explained_without_a_picture_is_said() -> None:
    assert "give pictures, videos or folders" in _run("explain", code=2)
    assert "give pictures" in _run("explain", *LENET, "--method", "gradcam", code=2)
    maximisation = ("explain", *LENET, "--method", "maximisation")
    with pytest.raises(ConfigError, match="target = '': maximisation needs a class, or with"):
        _run(*maximisation)
    with pytest.raises(ConfigError, match="target = 'cat': maximisation needs a class, or with"):
        _run(*maximisation, "--layer", "features.0", "--target", "cat")
    with pytest.raises(ConfigError, match="target = 6 is no channel of the layer: give one of 0"):
        _run(*maximisation, "--layer", "features.0", "--target", 6)
    with pytest.raises(ConfigError, match="method = filters: maximisation goes with no other"):
        _run(*maximisation, "--method", "filters", "--target", 1)
    layers = ("--layer", "features.0", "--layer", "features.3", "--target", 1)
    with pytest.raises(ConfigError, match=r"layer = features\.3: maximisation goes with no other"):
        _run(*maximisation, *layers)
