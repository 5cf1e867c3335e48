"""The segmenter on pictures whose mask is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.errors import ModelError
from cnn_perception.formats.mask_logits import classify_pixels
from cnn_perception.image.draw import palette
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.segmentation.segmenter import Segmenter
from models import cell_box, paint, write_detector_bundle, write_segmenter_bundle


@pytest.fixture(scope="module", params=["mask_index", "mask_logits"])
def segmenter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Segmenter:
    folder = tmp_path_factory.mktemp("models") / request.param
    return Segmenter(load_bundle(write_segmenter_bundle(folder, form=request.param)))


def test_each_color_is_its_class(segmenter: Segmenter) -> None:
    cells = {(1, 1): "red", (2, 6): "green", (5, 7): "blue", (3, 3): "white"}
    mask = segmenter.segment(paint(cells))
    assert mask.shape == (480, 640)
    assert mask.dtype == np.uint8
    for (row, column), color in cells.items():
        x0, y0, x1, y1 = (round(v) for v in cell_box(row, column))
        inside = mask[y0 + 20 : y1 - 20, x0 + 20 : x1 - 20]
        expected = segmenter.labels.index(color) if color in segmenter.labels else 0
        assert (inside == expected).all(), color
    assert (mask == 0).sum() > 0.9 * 45 * 80 * 80


def test_edges_lie_where_the_color_ends(segmenter: Segmenter) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, 320:] = (0, 255, 0)
    row = segmenter.segment(picture)[240]
    assert abs(int(np.argmax(row == 2)) - 320) <= 5  # a pixel of the network's input
    assert (row[330:] == 2).all()


@pytest.mark.parametrize("size", [(128, 96), (65, 33), (1920, 1080)])
def test_masks_have_the_size_of_the_picture(segmenter: Segmenter, size: tuple[int, int]) -> None:
    width, height = size
    picture = np.full((height, width, 3), (250, 0, 0), np.uint8)
    mask = segmenter.segment(picture)
    assert mask.shape == (height, width)
    assert (mask == 1).all()


def test_the_same_picture_twice_gives_the_same_mask(segmenter: Segmenter) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    np.testing.assert_array_equal(segmenter.segment(picture), segmenter.segment(picture))


def test_colors_come_from_the_bundle_or_are_made(tmp_path: Path) -> None:
    bundle = load_bundle(write_segmenter_bundle(tmp_path / "areas"))
    assert Segmenter(bundle).palette.tolist()[1] == [200, 30, 30]
    plain = Segmenter(dataclasses.replace(bundle, palette=None))
    np.testing.assert_array_equal(plain.palette, palette(4, background=True))


def test_many_labels_need_two_bytes(tmp_path: Path) -> None:
    bundle = load_bundle(write_segmenter_bundle(tmp_path / "areas"))
    many = dataclasses.replace(bundle, labels=tuple(f"label {i}" for i in range(257)))
    mask = Segmenter(many).segment(paint({(1, 1): "blue"}))
    assert mask.dtype == np.uint16
    assert mask[120, 120] == 3


def test_classes_without_label_are_an_error(tmp_path: Path) -> None:
    bundle = load_bundle(write_segmenter_bundle(tmp_path / "areas"))
    segmenter = Segmenter(dataclasses.replace(bundle, labels=("background", "red")))
    assert segmenter.segment(paint({(1, 1): "red"})).max() == 1
    with pytest.raises(ModelError, match="answers class 3 but labels has 2 entries"):
        segmenter.segment(paint({(1, 1): "blue"}))


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_detector_bundle(tmp_path / "colors"))
    with pytest.raises(ModelError, match="detection cannot segment"):
        Segmenter(bundle)


@pytest.mark.parametrize("classes", [1, 2, 21, 300])
def test_classify_pixels_is_argmax_of_the_interpolated_logits(classes: int) -> None:
    logits = np.random.default_rng(classes).normal(0, 1, (classes, 6, 8)).astype(np.float32)
    large = np.stack([cv2.resize(plane, (32, 24)) for plane in logits])
    np.testing.assert_array_equal(classify_pixels(logits, (32, 24)), large.argmax(axis=0))


def test_of_equal_logits_the_lower_class_wins() -> None:
    assert (classify_pixels(np.ones((5, 2, 2), np.float32), (4, 4)) == 0).all()
