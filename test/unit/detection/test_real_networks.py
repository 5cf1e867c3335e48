"""Public networks on real photographs: the boxes are where a person drew them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.config import DetectorConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.types import Detections, UInt8Array


def _detector(repository: Path, network: Path, name: str, folder: Path) -> Detector:
    """A detector by the shipped description and the authors' file."""
    if not network.is_file():
        pytest.skip(f"no network at {network}")
    shutil.copytree(repository / "models" / name, folder / name)
    shutil.copyfile(network, folder / name / "model.onnx")
    return Detector(load_bundle(folder / name))


@pytest.fixture(scope="module")
def faces(
    repository: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Detector:
    network = shared_data / "models" / "ultraface_RFB-320.onnx"
    return _detector(repository, network, "ultraface", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def objects(
    repository: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Detector:
    network = shared_data / "models" / "FastestDet.onnx"
    return _detector(repository, network, "fastestdet", tmp_path_factory.mktemp("models"))


def _photo(shared_data: Path, name: str) -> UInt8Array:
    bgr = cv2.imread(str(shared_data / "data" / "photos" / name))
    assert bgr is not None
    return np.ascontiguousarray(bgr[:, :, ::-1])


def _iou(a: np.ndarray, b: tuple[float, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / (areas - shared))


def _best(found: Detections, labels: tuple[str, ...], label: str) -> np.ndarray:
    named = [labels[class_id] for class_id in found.class_ids]
    assert label in named
    return found.boxes[named.index(label)]


@pytest.mark.parametrize(
    ("photo", "face"),
    [("astronaut.png", (181, 65, 268, 178)), ("voc_000001.jpg", (144, 58, 272, 212))],
)
def test_faces(
    faces: Detector, shared_data: Path, photo: str, face: tuple[float, float, float, float]
) -> None:
    found = faces.detect(_photo(shared_data, photo))
    assert len(found) == 1
    assert found.scores[0] > 0.95
    assert _iou(found.boxes[0], face) > 0.8


def test_no_faces_in_a_cup(faces: Detector, shared_data: Path) -> None:
    assert len(faces.detect(_photo(shared_data, "coffee.png"))) == 0


@pytest.mark.parametrize(
    ("photo", "label", "box"),
    [
        ("voc_000456.jpg", "bus", (93, 45, 430, 305)),
        ("coffee.png", "cup", (173, 20, 412, 245)),
        ("chelsea.png", "cat", (0, 0, 415, 299)),
        ("voc_000001.jpg", "person", (0, 10, 353, 499)),
        ("voc_000001.jpg", "dog", (56, 225, 198, 354)),
    ],
)
def test_objects(
    objects: Detector,
    shared_data: Path,
    photo: str,
    label: str,
    box: tuple[float, float, float, float],
) -> None:
    found = objects.detect(_photo(shared_data, photo))
    assert _iou(_best(found, objects.labels, label), box) > 0.75


def test_a_table_in_a_kitchen(objects: Detector, shared_data: Path) -> None:
    frame = shared_data / "data" / "kitchen_rgbd" / "frame-000000.color.jpg"
    bgr = cv2.imread(str(frame))
    assert bgr is not None
    found = objects.detect(np.ascontiguousarray(bgr[:, :, ::-1]))
    named = {objects.labels[class_id] for class_id in found.class_ids}
    assert {"chair", "diningtable", "cup", "book"} <= named


def test_suppression_leaves_one_box_per_face(faces: Detector, shared_data: Path) -> None:
    photo = _photo(shared_data, "astronaut.png")
    faces.config = DetectorConfig(iou_threshold=1.0)
    crowd = faces.detect(photo)
    faces.config = DetectorConfig()
    single = faces.detect(photo)
    assert len(crowd) > 5
    assert len(single) == 1
    np.testing.assert_array_equal(single.boxes[0], crowd.boxes[0])
