from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.config import DetectorConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.datasets.rooms import EVALUATION_SEED, RenderedRooms
from cnn_perception.offboard.evaluation.bundles import measure_bundle
from cnn_perception.offboard.simulation.labels import MASK_LABELS, MASK_PALETTE, OBJECT_CLASSES
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.segmentation.segmenter import Segmenter

LARGEST_FILE = 4_000_000


@pytest.fixture(scope="module")
def rooms() -> list[LabelledImage]:
    try:
        return list(RenderedRooms(EVALUATION_SEED, 8))
    except PerceptionError as error:
        pytest.skip(str(error))


def test_shipped_bundles_record_what_they_are(repository: Path) -> None:
    detector = load_bundle(repository / "models" / "rooms_ssdlite")
    segmenter = load_bundle(repository / "models" / "rooms_fcn")
    assert detector.labels == OBJECT_CLASSES and segmenter.labels == MASK_LABELS
    np.testing.assert_array_equal(segmenter.palette, MASK_PALETTE)
    assert detector.quality["images"] == segmenter.quality["images"] == 500
    assert detector.quality["map_50"] >= 0.3 and segmenter.quality["miou"] >= 0.45
    assert detector.model.stat().st_size <= LARGEST_FILE
    assert segmenter.model.stat().st_size <= LARGEST_FILE


def test_shipped_detector_finds_objects_of_unseen_rooms(
    repository: Path, rooms: list[LabelledImage]
) -> None:
    quality = measure_bundle(load_bundle(repository / "models" / "rooms_ssdlite"), rooms)
    assert quality["images"] == len(rooms)
    assert quality["map_50"] > 0.4
    assert quality["objects"] == sum(int((~image.difficult).sum()) for image in rooms)


def test_shipped_segmenter_labels_unseen_rooms(
    repository: Path, rooms: list[LabelledImage]
) -> None:
    quality = measure_bundle(load_bundle(repository / "models" / "rooms_fcn"), rooms)
    assert quality["miou"] > 0.4
    assert quality["iou"]["floor"] > 0.7


def test_answers_taken_as_truth_are_perfect(repository: Path) -> None:
    color = np.random.default_rng(0).integers(0, 256, (192, 256, 3)).astype(np.uint8)
    detector = load_bundle(repository / "models" / "rooms_ssdlite")
    segmenter = load_bundle(repository / "models" / "rooms_fcn")
    found = Detector(detector, DetectorConfig(score_threshold=0.01)).detect(color)
    assert len(found)
    truth = LabelledImage(
        color,
        np.asarray(Segmenter(segmenter).segment(color), np.uint8),
        found.boxes,
        found.class_ids,
        np.zeros(len(found), bool),
    )
    assert measure_bundle(detector, [truth])["map_50"] == 1.0
    quality = measure_bundle(segmenter, [truth])
    assert quality["miou"] == quality["pixel_accuracy"] == 1.0
    absent = set(range(len(MASK_LABELS))) - set(np.unique(truth.mask).tolist())
    assert all(quality["iou"][MASK_LABELS[label]] is None for label in absent)
