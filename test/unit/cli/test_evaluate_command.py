from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cnn_perception.cli.main import app
from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.datasets.rooms import save_shard
from cnn_perception.errors import DatasetError, ModelError
from dataset_trees import palette_png, voc_xml, write_picture
from models import (
    cell_box,
    paint,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)


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


SIZE = (128, 96)
COLOURS = {"dog": "red", "sofa": "green", "person": "red"}


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two images; a model that calls red a dog and green a couch sees all but the person."""
    root = tmp_path / "VOC2012"
    for folder in ("Annotations", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    for name, seen in {"a": {"dog": (1, 2), "sofa": (4, 6)}, "b": {"person": (3, 3)}}.items():
        colours = {cell: COLOURS[label] for label, cell in seen.items()}
        write_picture(root / f"JPEGImages/{name}.png", paint(colours, width=128, height=96))
        objects, mask = [], np.zeros((96, 128), np.uint8)
        for label, cell in seen.items():
            x0, y0, x1, y1 = (int(v) for v in cell_box(*cell, width=128, height=96))
            objects.append((label, (x0 + 1, y0 + 1, x1, y1), False, False))
            mask[y0:y1, x0:x1] = {"dog": 12, "sofa": 18, "person": 15}[label]
        (root / f"Annotations/{name}.xml").write_text(voc_xml(objects, SIZE))
        (root / f"SegmentationClass/{name}.png").write_bytes(palette_png(mask))
    return root


def evaluate(bundle: Path, data: Path, *more: str) -> dict[str, object]:
    result = CliRunner().invoke(
        app, ["evaluate", str(bundle), "--data", str(data), "--json", *more]
    )
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


def test_detector_on_voc_data(tmp_path: Path, voc: Path) -> None:
    labels = {"labels": ["Dog", "couch", "lamp"]}
    bundle = write_detector_bundle(tmp_path / "colours", changes=labels)
    quality = evaluate(bundle, voc)
    assert (quality["images"], quality["objects"]) == (2, 2)
    assert quality["ap_50"] == {"Dog": 1.0, "couch": 1.0, "lamp": None}
    only = quality["only_in_data"]
    assert isinstance(only, list) and "person" in only and "sofa" not in only and len(only) == 18
    assert quality["only_in_bundle"] == ["lamp"] and quality["broken"] == {}
    assert evaluate(bundle, voc, "--rooms", "1")["images"] == 1


def test_segmenter_on_voc_data(tmp_path: Path, voc: Path) -> None:
    labels = {"labels": ["background", "dog", "sofa", "lamp"]}
    quality = evaluate(write_segmenter_bundle(tmp_path / "areas", changes=labels), voc)
    # Cells of the network are 8 pixels, those of the picture 16: it can be exact.
    assert quality["iou"] == {"background": 1.0, "dog": 1.0, "sofa": 1.0, "lamp": None}
    assert quality["miou"] == 1.0


def test_broken_data_are_an_error_or_listed(tmp_path: Path, voc: Path) -> None:
    bundle = write_detector_bundle(tmp_path / "colours", changes={"labels": ["dog", "sofa", "x"]})
    (voc / "Annotations/b.xml").write_text("<annotation>")
    with pytest.raises(DatasetError, match=r"b\.xml is no XML"):
        evaluate(bundle, voc)
    quality = evaluate(bundle, voc, "--broken", "skip")
    assert quality["images"] == 1
    assert isinstance(quality["broken"], dict) and list(quality["broken"]) == ["b"]
    result = CliRunner().invoke(
        app, ["evaluate", str(bundle), "--data", str(voc), "--broken", "skip"]
    )
    assert "skipped: " in result.output and "b.xml is no XML" in result.output.replace("\n", "")


def test_data_without_a_common_class_are_refused(tmp_path: Path, voc: Path) -> None:
    with pytest.raises(ModelError, match="no class in common: the data know aeroplane"):
        evaluate(write_detector_bundle(tmp_path / "colours"), voc)
    with pytest.raises(ModelError, match="no class in common"):
        evaluate(write_segmenter_bundle(tmp_path / "areas"), voc)
    with pytest.raises(ModelError, match="is for classification"):
        evaluate(write_classifier_bundle(tmp_path / "classes"), voc)
