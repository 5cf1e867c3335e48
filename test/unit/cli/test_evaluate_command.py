from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from cnn_perception.cli.evaluate_tables import print_report
from cnn_perception.cli.main import app
from cnn_perception.errors import ConfigError, DatasetError, ModelError
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.datasets.rooms import RenderedRooms
from cnn_perception.offboard.datasets.shards import save_shard
from cnn_perception.runtime.bundle import load_bundle
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
    save_shard(tmp_path / "eval_0000.npy", images)
    return tmp_path / "eval_0000.npy"


def test_figures_of_a_segmenter_as_json(repository: Path, shard: Path) -> None:
    report = evaluate(repository / "models" / "rooms_fcn", shard)
    assert report["data"]["images"] == 3
    figures = report["figures"]
    assert 0 <= figures["miou"] <= 1
    assert report["classes"]["floor"]["accuracy"] == pytest.approx(figures["pixel_accuracy"])


def test_figures_of_a_detector_as_tables(repository: Path, shard: Path, tmp_path: Path) -> None:
    model = str(repository / "models" / "rooms_ssdlite")
    arguments = ["evaluate", model, "--data", str(shard), "--rooms", "2"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), "--worst", "1"])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    version = load_bundle(model).version
    assert f"rooms_ssdlite {version} on 2 images of" in result.output
    assert next(line for line in lines if "AR@100" in line)[:2] == ["mAP@0.5", "mAP@[.5:.95]"]
    (table,) = (line for line in lines if line[:1] == ["table"])
    assert len(table) == 4 and table[-1] == "2"
    assert not any(line[:1] == ["chair"] for line in lines)
    (small,) = (line for line in lines if line[:1] == ["small"])
    assert small[1:3] == ["below", "32²"] and small[-1] == "2"
    assert f"5 files in {tmp_path / 'out'}" in result.output.replace("\n", "")
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["classes"]["table"]["objects"] == 2
    assert len(json.loads((tmp_path / "out" / "worst.json").read_text())) == 1


def test_rendered_rooms_are_named_by_their_seeds(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = LabelledImage(
        np.zeros((48, 64, 3), np.uint8),
        np.ones((48, 64), np.uint8),
        np.array([[4, 4, 30, 40]], np.float32),
        np.array([1], np.int32),
        np.array([False]),
    )
    monkeypatch.setattr(
        RenderedRooms, "_read", lambda self, index: replace(blank, name=self.names[index])
    )
    model = str(repository / "models" / "rooms_ssdlite")
    arguments = ["evaluate", model, "--rooms", "3", "--seed", "70", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "3 images of simulated rooms, seeds 70 to 72" in result.output
    worst = json.loads((tmp_path / "worst.json").read_text())
    assert [entry["image"] for entry in worst] == [f"room_{70 + k}_view_0" for k in range(3)]
    assert (tmp_path / "worst" / "01_room_70_view_0.jpg").exists()


def test_bundle_without_a_class_of_the_rooms_is_refused(tmp_path: Path) -> None:
    bundle = write_detector_bundle(tmp_path / "colors")
    result = CliRunner().invoke(app, ["evaluate", str(bundle)])
    assert isinstance(result.exception, ModelError)
    assert "and simulated rooms, seeds 1000000 to 1000499 have no class in common" in str(
        result.exception
    )


def test_folder_that_cannot_be_made_is_refused_at_once(repository: Path, shard: Path) -> None:
    arguments = ["evaluate", str(repository / "models" / "rooms_ssdlite"), "--data", str(shard)]
    result = CliRunner().invoke(app, [*arguments, "--out", str(shard)])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(f"--out {shard} cannot be made (File exists)")


SIZE = (128, 96)
COLORS = {"dog": "red", "sofa": "green", "person": "red"}


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two images; a model that calls red a dog and green a couch sees all but the person."""
    root = tmp_path / "VOC2012"
    for folder in ("Annotations", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    for name, seen in {"a": {"dog": (1, 2), "sofa": (4, 6)}, "b": {"person": (3, 3)}}.items():
        colors = {cell: COLORS[label] for label, cell in seen.items()}
        write_picture(root / f"JPEGImages/{name}.png", paint(colors, width=128, height=96))
        objects, mask = [], np.zeros((96, 128), np.uint8)
        for label, cell in seen.items():
            x0, y0, x1, y1 = (int(v) for v in cell_box(*cell, width=128, height=96))
            objects.append((label, (x0 + 1, y0 + 1, x1, y1), False, False))
            mask[y0:y1, x0:x1] = {"dog": 12, "sofa": 18, "person": 15}[label]
        (root / f"Annotations/{name}.xml").write_text(voc_xml(objects, SIZE))
        (root / f"SegmentationClass/{name}.png").write_bytes(palette_png(mask))
    return root


def evaluate(bundle: Path, data: Path, *more: str) -> dict[str, Any]:
    result = CliRunner().invoke(
        app, ["evaluate", str(bundle), "--data", str(data), "--json", *more]
    )
    if result.exception:
        raise result.exception
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_detector_on_voc_data(tmp_path: Path, voc: Path) -> None:
    labels = {"labels": ["Dog", "couch", "lamp"]}
    bundle = write_detector_bundle(tmp_path / "colors", changes=labels)
    report = evaluate(bundle, voc)
    ap_50 = {label: row["ap_50"] for label, row in report["classes"].items()}
    assert ap_50 == {"Dog": 1.0, "couch": 1.0, "lamp": None}
    assert report["sizes"]["all"]["objects"] == 2
    data = report["data"]
    assert data["images"] == 2
    only = data["only_in_data"]
    assert "person" in only and "sofa" not in only and len(only) == 18
    assert data["only_in_bundle"] == ["lamp"] and data["broken"] == {}
    assert evaluate(bundle, voc, "--rooms", "1")["data"]["images"] == 1
    result = CliRunner().invoke(app, ["evaluate", str(bundle), "--data", str(voc)])
    assert "only in the data (not counted): aeroplane, bicycle" in result.output
    assert "and 6 more" in result.output.replace("\n", " ")
    assert "only in the bundle (not counted): lamp" in result.output


def test_segmenter_on_voc_data(tmp_path: Path, voc: Path) -> None:
    labels = {"labels": ["background", "dog", "sofa", "lamp"]}
    bundle = write_segmenter_bundle(tmp_path / "areas", changes=labels)
    report = evaluate(bundle, voc)
    # Cells of the network are 8 pixels, those of the picture 16: it can be exact.
    iou = {label: row["iou"] for label, row in report["classes"].items()}
    assert iou == {"background": 1.0, "dog": 1.0, "sofa": 1.0, "lamp": None}
    assert set(report["figures"].values()) == {1.0}


def test_classifier_on_class_folders(tmp_path: Path) -> None:
    for name, seen in (("red", "red"), ("blue", "blue"), ("Green", "red"), ("cat", "blue")):
        picture = paint({(k, j): seen for k in range(6) for j in range(8)}, width=128, height=96)
        write_picture(tmp_path / f"data/{name}/one.png", picture)
    bundle = write_classifier_bundle(tmp_path / "colors")
    report = evaluate(bundle, tmp_path / "data", "--out", str(tmp_path / "out"))
    assert report["figures"] == {"top_1": 0.6667, "top_5": 1.0}
    assert report["classes"]["green"] == {"images": 1, "accuracy": 0.0}
    assert report["data"]["only_in_data"] == ["cat"] and report["data"]["images"] == 3
    (entry,) = json.loads((tmp_path / "out" / "worst.json").read_text())
    assert entry["picture"] == "worst/01_Green_one.jpg"
    result = CliRunner().invoke(app, ["evaluate", str(bundle), "--data", str(tmp_path / "data")])
    (row,) = (line.split() for line in result.output.splitlines() if line.startswith(" green"))
    assert row == ["green", "0.000", "1"]


def test_table_of_very_many_classes_is_cut_in_the_middle() -> None:
    report = {
        "model": "many",
        "version": "1",
        "data": {
            "source": "x",
            "images": 1000,
            "only_in_data": [],
            "only_in_bundle": [],
            "broken": {},
        },
        "figures": {"top_1": 0.5, "top_5": None},
        "classes": {f"class{k}": {"images": 1, "accuracy": k / 1000} for k in range(1000)},
    }
    console = Console(file=io.StringIO(), width=80)
    print_report(console, report)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    first = next(line.split() for line in lines if "class9" in line)
    assert first == ["class999", "0.999", "1"]
    (cut,) = (k for k, line in enumerate(lines) if "... 900 more" in line)
    assert "class950" in lines[cut - 1] and "class49" in lines[cut + 1]


def test_broken_data_are_an_error_or_listed(tmp_path: Path, voc: Path) -> None:
    bundle = write_detector_bundle(tmp_path / "colors", changes={"labels": ["dog", "sofa", "x"]})
    (voc / "Annotations/b.xml").write_text("<annotation>")
    with pytest.raises(DatasetError, match=r"b\.xml is no XML"):
        evaluate(bundle, voc)
    data = evaluate(bundle, voc, "--broken", "skip")["data"]
    assert data["images"] == 1 and list(data["broken"]) == ["b"]
    result = CliRunner().invoke(
        app, ["evaluate", str(bundle), "--data", str(voc), "--broken", "skip"]
    )
    assert "skipped: " in result.output and "b.xml is no XML" in result.output.replace("\n", "")


def test_data_without_a_common_class_are_refused(tmp_path: Path, voc: Path) -> None:
    with pytest.raises(ModelError, match="no class in common: the data know aeroplane"):
        evaluate(write_detector_bundle(tmp_path / "colors"), voc)
    with pytest.raises(ModelError, match="no class in common"):
        evaluate(write_segmenter_bundle(tmp_path / "areas"), voc)
