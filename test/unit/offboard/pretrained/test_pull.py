"""A published network from a server on this machine to a bundle that runs, with random weights."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cnn_perception.cli.main import app
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.image.preprocess import Preprocessor
from cnn_perception.offboard.pretrained.pull import check_pictures, installed
from cnn_perception.runtime.bundle import file_digest, load_bundle
from cnn_perception.runtime.inference import Session
from models import write_detector_bundle
from weights_server import WeightsServer, serving

NAMES = {
    "squeezenet1_1": "IMAGENET1K_V1",
    "lraspp_mobilenet_v3_large": "COCO_WITH_VOC_LABELS_V1",
    "ssdlite320_mobilenet_v3_large": "COCO_V1",
}


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of an own user, without a proxy; returns where bundles are put."""
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.delenv("CNN_PERCEPTION_MODELS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data" / "cnn_perception" / "models"


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with serving() as state:
        yield state


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(app, ["models", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return " ".join(result.stdout.split())


def offer(server: WeightsServer, name: str, folder: Path) -> Path:
    """Put random weights of a network onto a server; returns the catalog that lists them."""
    from random_weights import write_random_weights

    weights = folder / "weights.pth"
    write_random_weights(name, weights)
    server.files["published.pth"] = weights.read_bytes()
    return catalog(server, name, file_digest(weights), folder)


def catalog(server: WeightsServer, name: str, sha256: str, folder: Path) -> Path:
    tasks = {"lraspp": "segmentation", "squeeze": "classification"}
    task = next((tasks[part] for part in tasks if name.startswith(part)), "detection")
    entry = {"weights": NAMES[name], "file": "published.pth", "megabytes": 1, "figure": 0.25}
    group = {"task": task, "licence": "MIT", "measured_on": "nothing", "figure": "luck"}
    networks = {name: {**entry, "sha256": sha256}}
    file = folder / "catalog.yaml"
    content = {"groups": [{**group, "url": server.url, "networks": networks}]}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_classifier_from_the_server(
    server: WeightsServer, tmp_path: Path, own_folders: Path
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    listed = offer(server, "squeezenet1_1", tmp_path)
    server.cuts = [1_000_000]
    text = run("pull", "squeezenet1_1", "--catalog", listed)
    folder = own_folders / "squeezenet1_1"
    assert f"squeezenet1_1 is ready in {folder}" in text
    assert [file.name for file in own_folders.iterdir()] == ["squeezenet1_1"]
    bundle = load_bundle("squeezenet1_1")
    assert (bundle.task, len(bundle.labels), bundle.labels[1]) == (
        "classification",
        1000,
        "goldfish",
    )
    assert bundle.quality == {"dataset": "nothing, as published", "luck": 0.25}
    assert bundle.source == f"{server.url}published.pth"

    # What torchvision answers with its own resizing is near, and the same class.
    from torchvision.models import get_model, get_model_weights

    network = get_model("squeezenet1_1").eval()
    network.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
    transform = get_model_weights("squeezenet1_1").DEFAULT.transforms()
    picture = check_pictures()[0]
    tensor, _ = Preprocessor(bundle.input)(picture)
    theirs = transform(torch.from_numpy(picture).permute(2, 0, 1))[None]
    assert float((torch.from_numpy(tensor) - theirs).abs().mean()) < 0.1
    logits = Session(bundle).run({"images": tensor})["class_logits"]
    with torch.no_grad():
        expected = network(torch.from_numpy(tensor)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-3)

    requests = len(server.requests)
    assert "squeezenet1_1 is there" in run("pull", "squeezenet1_1", "--catalog", listed)
    assert len(server.requests) == requests
    with pytest.raises(ConfigError, match="squeezenet1_1 takes pictures of one size only"):
        run("pull", "squeezenet1_1", "--catalog", listed, "--force", "--size", "320x240")
    assert installed("squeezenet1_1") == folder
    assert len(bundle.explain) == 1
    run("pull", "squeezenet1_1", "--catalog", listed, "--force", "--no-explain")
    assert load_bundle("squeezenet1_1").explain == ()


@pytest.mark.parametrize(
    ("name", "size", "form"),
    [
        ("lraspp_mobilenet_v3_large", "160x128", "mask_logits"),
        ("ssdlite320_mobilenet_v3_large", "", "ssd_raw"),
    ],
)
def test_families_from_a_file(
    server: WeightsServer, tmp_path: Path, name: str, size: str, form: str
) -> None:
    pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    listed = offer(server, name, tmp_path)
    weights = tmp_path / "weights.pth"
    sized = ["--size", size] if size else []
    run("pull", name, "--catalog", listed, "--from", weights, *sized)
    assert server.requests == []
    bundle = load_bundle(name)
    assert len(bundle.explain) == (1 if form == "mask_logits" else 6)
    assert bundle.output.name == form
    assert f"{bundle.input.width}x{bundle.input.height}" == (size or "320x320")
    assert len(bundle.labels) == (21 if form == "mask_logits" else 90)
    picture = check_pictures()[0]
    if form == "mask_logits":
        from cnn_perception.segmentation.segmenter import Segmenter

        mask = Segmenter(bundle).segment(picture)
        assert mask.shape == picture.shape[:2]
        assert len(np.unique(mask)) > 2
        assert bundle.palette is not None
    else:
        from cnn_perception.config import DetectorConfig
        from cnn_perception.detection.detector import Detector

        found = Detector(bundle, DetectorConfig(score_threshold=0.1)).detect(picture)
        assert len(found.scores) > 3
        assert len(np.unique(found.class_ids)) > 1


def test_described_networks_need_no_torch(
    shared_data: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    file = shared_data / "models" / "ultraface_RFB-320.onnx"
    text = run("pull", "ultraface", "--from", file)
    assert f"ultraface is ready in {own_folders / 'ultraface'}" in text
    assert "cnn-perception detect --model ultraface" in text
    assert "ultraface is there" in run("pull", "ultraface", "--from", file)
    assert "ultraface is ready" in run("pull", "ultraface", "--from", file, "--force")


def test_without_torch_nothing_is_fetched(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnn_perception.offboard.pretrained.pull.find_spec", lambda name: None)
    listed = catalog(server, "squeezenet1_1", "00000000", tmp_path)
    with pytest.raises(ModelError, match=r"needs torch, .*with the \[train\] extra"):
        run("pull", "squeezenet1_1", "--catalog", listed)
    assert server.requests == []


def test_mistakes_leave_nothing(
    server: WeightsServer, tmp_path: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnn_perception.offboard.pretrained.pull.find_spec", lambda name: name)
    listed = catalog(server, "squeezenet1_1", "00000000", tmp_path)
    arguments = ["pull", "squeezenet1_1", "--catalog", listed]
    with pytest.raises(ModelError, match=r"published\.pth cannot be downloaded \(HTTP 404"):
        run(*arguments)
    server.files["published.pth"] = b"anything"
    with pytest.raises(
        ModelError, match=r"but 00000000\.\.\. is expected: fetch the file elsewhere"
    ):
        run(*arguments)
    other = tmp_path / "other.pth"
    other.write_bytes(b"anything")
    with pytest.raises(ModelError, match=rf"is expected: give the file of {server.url}published"):
        run(*arguments, "--from", other)
    with pytest.raises(ModelError, match="no published network named 'squeezenet'"):
        run("pull", "squeezenet", "--catalog", listed)
    with pytest.raises(ConfigError, match="--size 640: give width and height"):
        run(*arguments, "--size", "640")
    assert not own_folders.exists()
    assert list((tmp_path / "cache" / "cnn_perception").iterdir()) == []


def test_installed_bundles_must_be_usable(own_folders: Path) -> None:
    assert installed("colors") is None
    folder = write_detector_bundle(own_folders / "colors")
    assert installed("colors") == folder
    (folder / "model.onnx").unlink()
    assert installed("colors") is None


def test_list_of_what_there_is_to_pull(own_folders: Path) -> None:
    write_detector_bundle(own_folders / "resnet18")
    rows = {row["name"]: row for row in json.loads(run("list", "--available", "--json"))}
    assert rows["resnet18"]["here"] and not rows["resnet34"]["here"]
    assert rows["resnet34"]["megabytes"] == pytest.approx(83.3)
    text = run("list", "--available")
    assert "fasterrcnn_mobilenet_v3_large_320_fpn 0.228" in text
    assert "cnn-perception models pull fastestdet" in run("list")
