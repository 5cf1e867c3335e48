"""The detector on pictures whose answer is known, and on real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.runtime.bundle import load_bundle
from models import (
    LABELS,
    anchor_of,
    cell_box,
    paint,
    score_of,
    write_classifier_bundle,
    write_detector_bundle,
)


def test_a_black_picture_has_no_objects(detector: Detector) -> None:
    found = detector.detect(paint({}))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_a_red_cell_is_one_red_object(detector: Detector) -> None:
    found = detector.detect(paint({(2, 5): "red"}))
    assert [detector.labels[i] for i in found.class_ids] == ["red"]
    np.testing.assert_allclose(found.boxes[0], cell_box(2, 5), atol=1e-2)
    assert found.scores[0] == pytest.approx(score_of(255), abs=1e-5)
    assert found.anchors is not None
    assert found.anchors.tolist() == [anchor_of(2, 5)]
    assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)
    assert (found.class_ids.dtype, found.anchors.dtype) == (np.int32, np.int32)


def test_best_comes_first_on_every_level_and_class(detector: Detector) -> None:
    picture = paint({(0, 0): (0, 190, 0), (5, 7): (160, 0, 0)})
    picture += paint({(1, 1): (0, 0, 220)}, level=1)
    found = detector.detect(picture)
    assert [LABELS[i] for i in found.class_ids] == ["blue", "green", "red"]
    expected = [score_of(220), score_of(190), score_of(160)]
    np.testing.assert_allclose(found.scores, expected, atol=1e-3)
    boxes = [cell_box(1, 1, 1), cell_box(0, 0), cell_box(5, 7)]
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-2)
    assert found.anchors is not None
    assert found.anchors.tolist() == [anchor_of(1, 1, 1), anchor_of(0, 0), anchor_of(5, 7)]


@pytest.mark.parametrize("size", [(1280, 720), (128, 96), (64, 200)])
def test_boxes_are_in_pixels_of_the_picture(detector: Detector, size: tuple[int, int]) -> None:
    width, height = size
    found = detector.detect(paint({(3, 4): "green"}, width=width, height=height))
    np.testing.assert_allclose(found.boxes, [cell_box(3, 4, 0, width, height)], atol=0.05)


def test_equal_scores_keep_the_order_of_the_default_boxes(detector: Detector) -> None:
    cells = [(0, 1), (2, 3), (4, 0), (5, 7)]
    found = detector.detect(paint(dict.fromkeys(cells, "red")))
    assert found.anchors is not None
    assert found.anchors.tolist() == [anchor_of(*cell) for cell in cells]


def test_thresholds_are_live_and_default_to_the_models(detector: Detector) -> None:
    picture = paint({(0, 0): (200, 0, 0), (0, 4): (140, 0, 0)})
    detector.config = DetectorConfig(score_threshold=0.9)
    assert detector.score_threshold == 0.9
    assert len(detector.detect(picture)) == 1
    detector.config = DetectorConfig()  # the model's 0.5
    assert detector.score_threshold == 0.5
    assert len(detector.detect(picture)) == 2
    detector.config = DetectorConfig(max_detections=1)
    found = detector.detect(picture)
    np.testing.assert_allclose(found.scores, [score_of(200)], atol=1e-3)
    detector.config = DetectorConfig(score_threshold=1.0)
    assert len(detector.detect(picture)) == 0


def test_threshold_zero_is_bounded_and_sorted(detector: Detector) -> None:
    detector.config = DetectorConfig(score_threshold=0.0, iou_threshold=1.0, max_detections=1000)
    found = detector.detect(paint({(1, 1): "red"}))
    assert 100 < len(found) <= 1000
    assert (np.diff(found.scores) <= 0).all()
    assert found.boxes.min() >= 0
    assert (found.boxes[:, 2] <= 640).all()
    assert (found.boxes[:, 3] <= 480).all()


def test_the_same_picture_twice_gives_the_same_bits(detector: Detector) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    detector.config = DetectorConfig(score_threshold=0.01)
    first, second = detector.detect(picture), detector.detect(picture)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_letterboxed_input_gives_boxes_of_the_picture(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "boxed")
    text = (folder / "model.yaml").read_text(encoding="utf-8")
    (folder / "model.yaml").write_text(text.replace("stretch", "letterbox"), encoding="utf-8")
    detector = Detector(load_bundle(folder))
    # 640x240 fills the 128x96 input's width; 24 rows of bars above and below leave cell rows 1.5
    # to 4.5, of which row 2 covers source rows 40 to 120.
    picture = np.zeros((240, 640, 3), np.uint8)
    picture[40:120, 160:240] = (255, 0, 0)
    found = detector.detect(picture)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes[0], [160, 40, 240, 120], atol=0.1)


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_classifier_bundle(tmp_path / "classes"))
    with pytest.raises(ModelError, match="classification cannot detect"):
        Detector(bundle)


def test_other_pictures_are_refused(detector: Detector) -> None:
    with pytest.raises(ConfigError, match="give RGB uint8"):
        detector.detect(np.zeros((10, 10), np.uint8))


def test_threads_do_not_change_the_answer(detector: Detector, detector_bundle: Path) -> None:
    two = Detector(load_bundle(detector_bundle), session=SessionConfig(threads=2))
    picture = paint({(2, 2): "red", (3, 3): "green"})
    np.testing.assert_array_equal(two.detect(picture).boxes, detector.detect(picture).boxes)
    assert two.provider == detector.provider
