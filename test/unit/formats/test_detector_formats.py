"""Whole networks in the formats of published families, from the picture to its objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.config import DetectorConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ModelError
from cnn_perception.runtime.bundle import load_bundle
from detector_formats import FORMATS, QUERIES, twin_score_of, write_format_bundle
from models import LABELS, cell_box, paint, score_of

FINAL = ("detr", "torchvision")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("formats")
    return {form: write_format_bundle(root / form, form) for form in FORMATS}


def _expected(form: str, strength: float) -> list[float]:
    """Scores of one cell's box and, where nothing is suppressed, of its twin."""
    if form in FINAL:
        return [score_of(strength), twin_score_of(strength)]
    return [score_of(strength) ** (2 if form == "yolo_v5" else 1)]


def _letterboxed(folder: Path) -> None:
    file = folder / "model.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("stretch", "letterbox"), encoding="utf-8")


@pytest.mark.parametrize("form", FORMATS)
def test_cells_of_every_class(folders: dict[str, Path], form: str) -> None:
    detector = Detector(load_bundle(folders[form]), DetectorConfig(score_threshold=0.2))
    strengths = {"red": 255, "green": 190, "blue": 150}
    cells = {"red": (2, 5), "green": (0, 0), "blue": (5, 3)}
    picture = np.zeros((480, 640, 3), np.uint8)
    for channel, label in enumerate(LABELS):
        color = [0, 0, 0]
        color[channel] = strengths[label]
        picture += paint({cells[label]: (color[0], color[1], color[2])})
    found = detector.detect(picture)
    answers = [
        (score, LABELS.index(label), np.add(cell_box(*cells[label]), (5 * twin, 0, 5 * twin, 0)))
        for label, strength in strengths.items()
        for twin, score in enumerate(_expected(form, strength))
    ]
    answers.sort(key=lambda answer: -answer[0])
    np.testing.assert_allclose(found.scores, [score for score, _, _ in answers], atol=2e-3)
    assert found.class_ids.tolist() == [class_id for _, class_id, _ in answers]
    np.testing.assert_allclose(found.boxes, [box for _, _, box in answers], atol=1e-2)
    assert found.anchors is not None
    assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)
    assert (found.class_ids.dtype, found.anchors.dtype) == (np.int32, np.int32)


@pytest.mark.parametrize("form", FORMATS)
def test_letterboxed_input_gives_boxes_of_the_picture(tmp_path: Path, form: str) -> None:
    folder = write_format_bundle(tmp_path / form, form)
    _letterboxed(folder)
    detector = Detector(load_bundle(folder))
    # 640x240 fills the 128x96 input's width; 24 rows of bars above and below leave cell rows 1.5
    # to 4.5, of which row 2 covers source rows 40 to 120.
    picture = np.zeros((240, 640, 3), np.uint8)
    picture[40:120, 160:240] = (255, 0, 0)
    found = detector.detect(picture)
    boxes = [[160, 40, 240, 120], [165, 40, 245, 120]][: len(_expected(form, 255))]
    np.testing.assert_allclose(found.boxes, boxes, atol=0.1)


@pytest.mark.parametrize("form", FORMATS)
def test_a_black_picture_has_no_objects(folders: dict[str, Path], form: str) -> None:
    found = Detector(load_bundle(folders[form])).detect(paint({}))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize("form", FORMATS)
def test_the_best_are_taken_when_there_are_too_many(folders: dict[str, Path], form: str) -> None:
    detector = Detector(load_bundle(folders[form]), DetectorConfig(max_detections=2))
    cells = {(0, 0): (170, 0, 0), (0, 4): (250, 0, 0), (4, 1): (0, 230, 0), (4, 6): (0, 0, 160)}
    found = detector.detect(paint(cells))
    every = sorted((s for v in (170, 250, 230, 160) for s in _expected(form, v)), reverse=True)
    np.testing.assert_allclose(found.scores, every[:2], atol=2e-3)


@pytest.mark.parametrize("form", FINAL)
def test_suppression_is_left_to_the_network_unless_asked_for(
    folders: dict[str, Path], form: str
) -> None:
    detector = Detector(load_bundle(folders[form]))
    assert detector.bundle.thresholds.iou == 1.0
    picture = paint({(1, 1): "red"})
    assert len(detector.detect(picture)) == 2
    detector.config = DetectorConfig(iou_threshold=0.5)
    found = detector.detect(picture)
    np.testing.assert_allclose(found.scores, [score_of(255)], atol=1e-5)


@pytest.mark.parametrize("form", FINAL)
def test_the_model_may_ask_for_suppression(tmp_path: Path, form: str) -> None:
    thresholds = {"score": 0.5, "iou": 0.5}
    folder = write_format_bundle(tmp_path / form, form, changes={"thresholds": thresholds})
    assert len(Detector(load_bundle(folder)).detect(paint({(1, 1): "red"}))) == 1


def test_queries_are_the_anchors(folders: dict[str, Path]) -> None:
    found = Detector(load_bundle(folders["detr"])).detect(paint({(2, 5): "red"}))
    assert found.anchors is not None
    assert found.anchors.tolist() == [21, 21 + QUERIES // 2]


def test_labels_beyond_the_description_are_an_error(tmp_path: Path) -> None:
    """Without ``background: 0`` torchvision's label 3, the last of three, has no name."""
    output = {"format": "torchvision", "tensors": {r: r for r in ("boxes", "labels", "scores")}}
    folder = write_format_bundle(tmp_path / "shifted", "torchvision", changes={"output": output})
    detector = Detector(load_bundle(folder))
    found = detector.detect(paint({(0, 0): "red"}))
    assert found.class_ids.tolist() == [1, 1]
    with pytest.raises(ModelError, match=r"model\.yaml: .* answered label 3 but .* allow 0 to 2"):
        detector.detect(paint({(0, 0): "blue"}))
