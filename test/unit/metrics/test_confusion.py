from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.metrics.confusion import class_accuracy, confusion_matrix


def test_truth_is_the_row_and_the_answer_the_column() -> None:
    truth = np.array([[0, 0, 1], [1, 2, 255]])
    predicted = np.array([[0, 1, 1], [1, 0, 2]])
    expected = [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert confusion_matrix(predicted, truth, 3, 255).tolist() == expected


def test_accuracy_of_a_class_without_truth_is_unknown() -> None:
    accuracy = class_accuracy(np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]]))
    np.testing.assert_array_equal(accuracy, [0.75, np.nan, 0.0])


@pytest.mark.parametrize(
    ("predicted", "truth", "text"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"\(2, 3\): the truth has \(3, 2\)"),
        (np.array([3]), np.array([0]), "the answer is label 3: labels go from 0 to 2"),
        (np.array([0]), np.array([-1]), "the truth has label -1"),
        (np.array([0]), np.array([255]), "the truth has label 255"),
    ],
)
def test_what_does_not_fit_is_refused(predicted: np.ndarray, truth: np.ndarray, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        confusion_matrix(predicted, truth, 3)
