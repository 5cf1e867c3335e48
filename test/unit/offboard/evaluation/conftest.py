"""Bundles and data to measure them on."""

from __future__ import annotations

import pytest

from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from listed_images import Listed, box, labelled, painted
from models import write_classifier_bundle, write_detector_bundle, write_segmenter_bundle


@pytest.fixture(scope="session")
def colors(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """Finds red, green and blue cells."""
    return load_bundle(write_detector_bundle(tmp_path_factory.mktemp("bundles") / "colors"))


@pytest.fixture(scope="session")
def areas(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """Labels background, red, green and blue."""
    return load_bundle(write_segmenter_bundle(tmp_path_factory.mktemp("bundles") / "areas"))


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """Says whether a picture is red, green or blue."""
    return load_bundle(write_classifier_bundle(tmp_path_factory.mktemp("bundles") / "classes"))


@pytest.fixture
def objects() -> Listed:
    """Two images: all is found in the first; the second has a miss and a false alarm.

    The data call red "Red", do not know blue, and know a yellow that the bundle does not.
    """
    names = ("yellow", "Red", "green")
    return Listed(
        [
            labelled("good", painted({(1, 1): "red"}), [(1, box(1, 1))]),
            labelled(
                "sub/bad one.jpg",
                painted({(0, 0): "green", (3, 3): "red"}),
                [(1, box(3, 3)), (1, box(5, 5)), (0, box(2, 2))],
            ),
        ],
        names,
    )
