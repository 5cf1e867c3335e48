from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.evaluation.data import match_data
from cnn_perception.offboard.evaluation.evaluate import Evaluation, evaluate_bundle
from cnn_perception.offboard.evaluation.files import write_evaluation
from cnn_perception.runtime.bundle import ModelBundle
from listed_images import Listed, files_in, labelled, painted


def measured(bundle: ModelBundle, dataset: Dataset, worst: int = 5) -> Evaluation:
    return evaluate_bundle(bundle, match_data(bundle, dataset, "here"), worst=worst)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_report_of_a_detector(colors: ModelBundle, objects: Dataset) -> None:
    report = measured(colors, objects).report
    assert report["model"] == "colors" and report["task"] == "detection"
    assert report["data"] == {
        "source": "here",
        "images": 2,
        "only_in_data": ["yellow"],
        "only_in_bundle": ["blue"],
        "broken": {},
    }
    # Two of three red objects are found at once; the third never is. Nothing is green.
    assert report["classes"]["red"] == {
        "objects": 3,
        "ap_50": 0.6667,
        "ap_50_2007": round(7 / 11, 4),
        "ap_50_95": round(67 / 101, 4),
        "ap_75": round(67 / 101, 4),
        "ar_100": 0.6667,
    }
    assert report["classes"]["green"]["ap_50"] is None
    assert report["figures"]["map_50"] == 0.6667
    assert len(report["coco"]) == 12 and report["coco"]["ap_large"] is None
    assert report["sizes"]["small"]["objects"] == report["sizes"]["all"]["objects"] == 3
    assert json.loads(json.dumps(report)) == report


def test_files_of_a_detector(tmp_path: Path, colors: ModelBundle, objects: Dataset) -> None:
    evaluation = measured(colors, objects)
    files = write_evaluation(evaluation, tmp_path / "out")
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == [
        "metrics.json",
        "precision_recall.csv",
        "precision_recall.png",
        "worst.json",
        "worst/01_sub_bad_one.jpg",
    ]
    assert json.loads(files[0].read_text()) == evaluation.report
    found = rows(files[1])
    assert [row["class"] for row in found] == ["red", "red"]
    assert [float(row["recall"]) for row in found] == pytest.approx([1 / 3, 2 / 3], abs=1e-5)
    assert [row["precision"] for row in found] == ["1", "1"]
    (entry,) = json.loads(files[3].read_text())
    assert entry["image"] == "sub/bad one.jpg" and entry["picture"] == "worst/01_sub_bad_one.jpg"
    assert entry["missed"] == ["red"]
    assert entry["false_alarms"] == [{"label": "green", "score": pytest.approx(1, abs=1e-3)}]
    picture = cv2.imread(str(files[4]))
    assert picture is not None and picture.shape[1] > 2 * 500
    assert picture[:, :, 2].max() > 200


def test_later_pictures_replace_earlier_ones(
    tmp_path: Path, colors: ModelBundle, objects: Dataset
) -> None:
    write_evaluation(measured(colors, objects), tmp_path)
    (tmp_path / "worst" / "mine.jpg").write_bytes(b"")
    write_evaluation(measured(colors, objects, worst=0), tmp_path)
    assert files_in(tmp_path / "worst") == ["mine.jpg"]
    assert json.loads((tmp_path / "worst.json").read_text()) == []


def test_files_of_a_segmenter(tmp_path: Path, areas: ModelBundle) -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[:16, :16] = 1
    mask[16:32, :32] = 2
    images = [labelled("one", painted({(0, 0): "red", (1, 1): "green"}), mask=mask)]
    names = ("background", "red", "green")
    evaluation = measured(areas, Listed(images, names[1:], names))
    classes = evaluation.report["classes"]
    assert classes["red"] == {"pixels": 256, "iou": 1.0, "accuracy": 1.0}
    assert classes["green"]["iou"] == classes["green"]["accuracy"] == 0.5
    assert classes["blue"] == {"pixels": 0, "iou": None, "accuracy": None}
    write_evaluation(evaluation, tmp_path)
    assert files_in(tmp_path) == [
        "confusion.csv",
        "confusion.png",
        "metrics.json",
        "worst.json",
        "worst/01_one.jpg",
    ]
    table = rows(tmp_path / "confusion.csv")
    assert table[2] == {
        "truth": "green",
        "background": "256",
        "red": "0",
        "green": "256",
        "blue": "0",
    }
    (entry,) = json.loads((tmp_path / "worst.json").read_text())
    assert entry["iou"]["green"] == 0.5


def test_files_of_a_classifier(tmp_path: Path, classes: ModelBundle) -> None:
    red, blue = (np.full((96, 128, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 200)))
    images = [
        labelled("a", red, label=0),
        labelled("b", blue, label=1),
        labelled("c", red, label=1),
    ]
    evaluation = measured(classes, Listed(images, ("red", "blue")))
    report = evaluation.report
    assert report["figures"] == {"top_1": 0.6667, "top_5": 1.0}
    assert report["classes"]["blue"] == {"images": 2, "accuracy": 0.5}
    assert report["classes"]["green"] == {"images": 0, "accuracy": None}
    write_evaluation(evaluation, tmp_path)
    (entry,) = json.loads((tmp_path / "worst.json").read_text())
    assert (entry["image"], entry["truth"], entry["answer"]) == ("c", "blue", "red")
    assert (tmp_path / entry["picture"]).stat().st_size > 1000
    table = rows(tmp_path / "confusion.csv")
    assert [list(row.values()) for row in table] == [
        ["red", "1", "0", "0"],
        ["green", "0", "0", "0"],
        ["blue", "1", "0", "1"],
    ]


def test_progress_and_data_without_images(colors: ModelBundle, objects: Dataset) -> None:
    steps = []
    evaluate_bundle(colors, match_data(colors, objects, "x"), progress=lambda: steps.append(1))
    assert len(steps) == 2
    with pytest.raises(DatasetError, match="here: no image to measure on"):
        measured(colors, Listed([], ("red",)))
