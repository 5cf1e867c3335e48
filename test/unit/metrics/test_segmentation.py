from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.metrics.segmentation import (
    SegmentationMetric,
    confusion_matrix,
    iou_per_label,
    mean_iou,
    pixel_accuracy,
)


def test_confusion_counts_truth_by_row_and_prediction_by_column() -> None:
    truth = np.array([[0, 0, 1], [1, 2, 255]])
    predicted = np.array([[0, 1, 1], [1, 0, 2]])
    expected = [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert confusion_matrix(predicted, truth, 3).tolist() == expected


def test_agrees_with_sets_of_pixels_counted_one_by_one() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 5, (4, 20, 30)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    predicted = rng.integers(0, 6, truth.shape).astype(np.uint8)
    metric = SegmentationMetric(6)
    for wanted, found in zip(truth, predicted, strict=True):
        metric.update(found, wanted)
    valid = truth != 255
    for label in range(6):
        inner = int((valid & (truth == label) & (predicted == label)).sum())
        outer = int((valid & ((truth == label) | (predicted == label))).sum())
        assert metric.iou()[label] == pytest.approx(inner / outer)
    assert metric.pixel_accuracy() == pytest.approx((truth == predicted)[valid].mean())


def test_label_that_never_occurs_does_not_lower_the_mean() -> None:
    confusion = confusion_matrix(np.array([0, 1]), np.array([0, 1]), 4)
    assert np.isnan(iou_per_label(confusion)[2:]).all()
    assert mean_iou(confusion) == 1.0


def test_label_that_is_only_predicted_counts_as_zero() -> None:
    confusion = confusion_matrix(np.array([0, 2]), np.array([0, 0]), 3)
    assert iou_per_label(confusion)[2] == 0.0
    assert mean_iou(confusion) == pytest.approx(0.25)


def test_nothing_counted_is_not_a_number() -> None:
    confusion = confusion_matrix(np.array([1]), np.array([255]), 3)
    assert np.isnan(mean_iou(confusion))
    assert np.isnan(pixel_accuracy(confusion))


@pytest.mark.parametrize(
    ("predicted", "truth", "text"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"\(2, 3\)"),
        (np.array([3]), np.array([0]), "predicted mask holds label 3"),
        (np.array([0]), np.array([-1]), "true mask holds label -1"),
    ],
)
def test_wrong_masks_are_refused(predicted: np.ndarray, truth: np.ndarray, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        confusion_matrix(predicted, truth, 3)
