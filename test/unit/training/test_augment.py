from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.training.augment import Augmenter, vary_colors, warp
from cnn_perception.training.config import AugmentationConfig


def scene(*boxes: tuple[int, int, int, int]) -> LabelledImage:
    """A dark 128x96 image whose objects are bright rectangles with mask values 1, 2, ..."""
    color = np.full((96, 128, 3), 20, np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        color[y0:y1, x0:x1] = 220
        mask[y0:y1, x0:x1] = index + 1
    return LabelledImage(
        color,
        mask,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.arange(len(boxes), dtype=np.int32),
        np.zeros(len(boxes), bool),
    )


@pytest.mark.parametrize("seed", range(20))
def test_boxes_stay_around_their_pixels(seed: int) -> None:
    image = scene((10, 20, 40, 60), (70, 30, 120, 90))
    config = AugmentationConfig(zoom=1.0, flip=0.5, hue=0, saturation=0.0)
    varied = Augmenter(config)(image, np.random.default_rng(seed))
    assert varied.color.shape == image.color.shape
    for box, class_id in zip(varied.boxes, varied.classes, strict=True):
        rows, columns = np.nonzero(varied.mask == class_id + 1)
        if len(rows) == 0:
            assert min(box[2] - box[0], box[3] - box[1]) < 2
            continue
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box, seen, atol=1.01)


def test_mirror_is_exact() -> None:
    image = scene((10, 20, 40, 60))
    mirrored = warp(image, np.array([[-1.0, 0, 128], [0, 1, 0]]), 0.35)
    np.testing.assert_array_equal(mirrored.mask, image.mask[:, ::-1])
    np.testing.assert_array_equal(mirrored.color, image.color[:, ::-1])
    np.testing.assert_allclose(mirrored.boxes, [[88, 20, 118, 60]])


def test_object_that_mostly_left_is_difficult_and_one_that_left_is_gone() -> None:
    image = scene((10, 20, 40, 60), (70, 30, 120, 90))
    shifted = warp(image, np.array([[1.0, 0, -33], [0, 1, 0]]), 0.35)
    assert shifted.difficult.tolist() == [True, False]
    shifted = warp(image, np.array([[1.0, 0, -50], [0, 1, 0]]), 0.35)
    assert shifted.classes.tolist() == [1]


def test_what_lies_outside_the_source_is_unlabelled() -> None:
    image = scene((10, 20, 40, 60))
    small = warp(image, np.array([[0.5, 0, 0], [0, 0.5, 0]]), 0.35)
    assert (small.mask[50:] == 255).all() and (small.mask[:46, :62] != 255).all()


def test_unchanged_without_variation() -> None:
    image = scene((10, 20, 40, 60))
    still = AugmentationConfig(
        flip=0.0, zoom=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0
    )
    same = Augmenter(still)(image, np.random.default_rng(0))
    np.testing.assert_array_equal(same.color, image.color)
    np.testing.assert_array_equal(same.boxes, image.boxes)


def test_colors_change_but_equal_seeds_agree() -> None:
    color = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    config = AugmentationConfig()
    first, second, third = (
        vary_colors(color, config, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != third).any() and (first != color).any()
