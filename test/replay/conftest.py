"""A small painted drive, and the networks with known answers that see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import models
from painted_drive import write_drive

# Before the first context: tests of two checkouts on one machine must not hear each other.
os.environ.setdefault("ROS_DOMAIN_ID", str(os.getpid() % 100))


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A bag of a painted drive."""
    return write_drive(tmp_path / "drive")


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """A folder with bundles under the names that the nodes load by default."""
    folder = tmp_path / "models"
    models.write_detector_bundle(folder / "rooms_ssdlite")
    models.write_segmenter_bundle(folder / "rooms_fcn")
    return folder
