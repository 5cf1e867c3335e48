from __future__ import annotations

from pathlib import Path

import numpy as np

from cnn_perception.config import DetectorConfig
from cnn_perception.detection.detector import Detector, select
from cnn_perception.formats.format import Candidates
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.image.preprocess import Placement
from cnn_perception.runtime.bundle import load_bundle


def test_raw_answers_are_read_as_the_bundle_reads_them(repository: Path) -> None:
    bundle = load_bundle(repository / "models" / "rooms_ssdlite")
    assert isinstance(bundle.output, SsdRawFormat)
    config = DetectorConfig(score_threshold=0.02, iou_threshold=0.4, max_detections=30)
    detector = Detector(bundle, config)
    rng = np.random.default_rng(0)
    for _ in range(3):
        color = rng.integers(0, 256, (240, 300, 3)).astype(np.uint8)
        raw = detector.infer(color)
        expected = detector.select(raw)
        logits, deltas = raw.tensors["class_logits"][0], raw.tensors["box_deltas"][0]
        found = select(bundle.output.candidates(logits, deltas, 0.02), raw.placement, 0.4, 30)
        assert len(found) == len(expected) > 5
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.class_ids, expected.class_ids)
        np.testing.assert_array_equal(found.anchors, expected.anchors)


def test_boxes_without_area_are_nothing() -> None:
    boxes = np.array([[0, 0, 5, 5], [0, 0, 0, 5], [1, 0, 6, 5]], np.float32)
    candidates = Candidates(
        boxes / 8,
        np.array([0.5, 0.9, 0.8], np.float32),
        np.zeros(3, np.int32),
        np.array([7, 8, 9], np.int32),
    )
    whole = Placement((8, 8), (8, 8), (8, 8), (0, 0))
    everything = select(candidates, whole, 1.0, 100)
    assert everything.anchors is not None and everything.anchors.tolist() == [9, 7]
    best = select(candidates, whole, 0.5, 100)
    assert best.anchors is not None and best.anchors.tolist() == [9]
