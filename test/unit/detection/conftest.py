"""The small color detector of test/models.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.config import DetectorConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.runtime.bundle import load_bundle
from models import write_detector_bundle


@pytest.fixture(scope="session")
def detector_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector_bundle(tmp_path_factory.mktemp("bundles") / "colors")


@pytest.fixture
def detector(detector_bundle: Path) -> Detector:
    return Detector(load_bundle(detector_bundle), DetectorConfig())
