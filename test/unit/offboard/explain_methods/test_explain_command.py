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

from cnn_perception.cli.main import app  # noqa: E402
from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.explain.registry import Method  # noqa: E402
from cnn_perception.offboard.explain_methods.network import open_network  # noqa: E402
from cnn_perception.offboard.training.checkpoint import write_state  # noqa: E402

EACH = Method.of_one_picture()
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


@pytest.mark.parametrize("method", [x for x in EACH if x is not Method.cam])
def test_every_method(tmp_path: Path, picture: Path, method: Method) -> None:
    out = tmp_path / "out"
    said = _explain(picture, *LENET, "--method", method.value, "--target", "3", "--out", out)
    overlay = cv2.imread(str(out / "noise.explanations.jpg"))
    assert overlay.shape == (240, 320, 3)  # enlarged until words are legible
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
@pytest.mark.parametrize("method", [x for x in EACH if x not in (Method.cam, Method.occlusion)])
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


def test_several_methods_make_a_sheet(tmp_path: Path, picture: Path) -> None:
    out, methods = tmp_path / "out", ("gradcam", "cam", "guided", "filters", "gradcam")
    each = [x for method in methods for x in ("--method", method)]
    said = _explain(picture, *LENET, *each, "--target", 3, "-o", out)
    assert "class 3 0." in said and "4 explanations" in said
    assert {file.name for file in out.iterdir()} == {"explanations.json", "noise.explanations.jpg"}
    (record,) = json.loads((out / "explanations.json").read_text(encoding="utf-8"))
    assert (record["label"], record["class_id"]) == ("class 3", 3)
    found = [(x["method"], x["layer"], "error" in x) for x in record["explanations"]]
    assert found == [
        ("gradcam", "features.4", False),
        ("cam", None, True),
        ("guided", None, False),
        ("filters", None, False),
    ]
    assert "averages of layer features.4" in record["explanations"][1]["error"]
    sheet = cv2.imread(str(out / "noise.explanations.jpg"))
    assert sheet.shape[1] == 3 * 316 + 16


def test_all_methods_on_several_layers(tmp_path: Path, picture: Path) -> None:
    layers = ("--layer", "features.0", "--layer", "features.4")
    said = _explain(picture, *LENET, "--method", "all", *layers, "-o", tmp_path)
    (record,) = json.loads((tmp_path / "explanations.json").read_text(encoding="utf-8"))
    found = [(x["method"], x["layer"]) for x in record["explanations"]]
    assert f"{len(found)} explanations" in said
    assert {method for method, _ in found} == {method.value for method in EACH}
    for method, shown in (("gradcam", ["features.0", "features.4"]), ("guided", [None])):
        assert [layer for name, layer in found if name == method] == shown
    assert [x["method"] for x in record["explanations"] if "error" in x] == ["cam", "cam"]


def test_several_layers_of_one_method(tmp_path: Path, picture: Path) -> None:
    layers = ("--layer", "features.0", "--layer", "features.4")
    _explain(picture, *LENET, *layers, "-o", tmp_path)
    (record,) = json.loads((tmp_path / "explanations.json").read_text(encoding="utf-8"))
    assert [x["layer"] for x in record["explanations"]] == ["features.0", "features.4"]
    with pytest.raises(ConfigError, match=r"layer = 'features\.9' is not in the network"):
        _explain(picture, *LENET, "--layer", "features.0", "--layer", "features.9")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two class folders, of dark and of bright noise, five pictures each."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 180)):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for index in range(5):
            noise = rng.integers(low, low + 70, (40, 50, 3), np.uint8)
            assert cv2.imwrite(str(tmp_path / "classes" / name / f"{index}.png"), noise)
    return tmp_path / "classes"


def test_pictures_as_points(tmp_path: Path, folders: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is an extra: [train]")
    (folders / "dark" / "text.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    both = ("--method", "pca", "--method", "tsne", "--layer", "features.0")
    said = _explain(folders, *LENET, *both, "-o", out, code=1)
    assert "10 of 11 pictures placed" in said and "this is no picture" in said
    found = json.loads((out / "points.json").read_text(encoding="utf-8"))
    assert (found["network"], found["layer"], found["features"]) == ("lenet5", "features.0", 6)
    pictures = [record for record in found["pictures"] if "error" not in record]
    assert len(pictures) == 10 == len(found["pictures"]) - 1
    assert all(Path(record["file"]).parent.name == record["class"] for record in pictures)
    for method in ("pca", "tsne"):
        places = np.array([record[method] for record in pictures])
        assert places.shape == (10, 2) and (np.ptp(places, axis=0) > 0).all()
        assert cv2.imread(str(out / f"{method}.png")).shape[1] == 1240
    dark, bright = (
        [x["pca"][0] for x in pictures if x["class"] == name] for name in ("dark", "bright")
    )
    assert max(dark) < min(bright) or max(bright) < min(dark)
    shares = found["pca"]["explained_variance"]
    assert 1 >= sum(shares) >= shares[0] >= shares[1] >= 0
    assert found["tsne"] == {"perplexity": 3}


def test_points_need_pictures_and_go_alone(tmp_path: Path, folders: Path, picture: Path) -> None:
    pca = ("--method", "pca", "-o", tmp_path / "out")
    with pytest.raises(ConfigError, match="PCA needs 2 pictures or more: 1 were given"):
        _explain(picture, *LENET, *pca)
    with pytest.raises(ConfigError, match="method = gradcam: pca and tsne are of one layer"):
        _explain(folders, *LENET, *pca, "--method", "gradcam")
    with pytest.raises(ConfigError, match=r"layer = features\.4: pca and tsne are of one layer"):
        _explain(folders, *LENET, *pca, "--layer", "features.0", "--layer", "features.4")
    with pytest.raises(ConfigError, match=r"layer = 'features\.9' is not in the network"):
        _explain(folders, *LENET, *pca, "--layer", "features.9")
    picture.write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="none of the pictures could be read"):
        _explain(picture, *LENET, *pca)


def test_a_video_becomes_a_video_of_sheets(tmp_path: Path) -> None:
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (80, 60))
    for shade in (20, 120, 220):
        writer.write(np.full((60, 80, 3), shade, np.uint8))
    writer.release()
    for methods, width in ((("gradcam",), 320), (("gradcam", "guided"), 648)):
        each = [x for method in methods for x in ("--method", method)]
        _explain(video, *LENET, *each, "-o", tmp_path)
        made = cv2.VideoCapture(str(tmp_path / "clip.explanations.mp4"))
        assert made.get(cv2.CAP_PROP_FRAME_COUNT) == 3
        assert made.get(cv2.CAP_PROP_FRAME_WIDTH) == width
    with pytest.raises(ConfigError, match="none of the pictures could be read"):
        _explain(video, *LENET, "--method", "pca", "-o", tmp_path)
