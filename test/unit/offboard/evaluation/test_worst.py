from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cnn_perception.metrics.matching import FALSE, HIT, NOT_COUNTED
from cnn_perception.offboard.evaluation.worst import Mistakes, WorstImages, judge
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.types import Detections
from listed_images import labelled, painted

EVERYTHING = np.ones(4, bool)
LEFT, RIGHT, FAR = (0.0, 0.0, 20.0, 20.0), (40.0, 0.0, 60.0, 20.0), (80.0, 50.0, 99.0, 70.0)


def detections(*entries: tuple[int, tuple[float, ...], float]) -> Detections:
    return Detections(
        np.array([box for _, box, _ in entries], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in entries], np.float32),
        np.array([index for index, _, _ in entries], np.int32),
    )


def test_missed_objects_and_false_alarms_count(colors: ModelBundle) -> None:
    image = labelled("x", painted({}), [(0, LEFT), (1, RIGHT), (0, FAR)])
    found = detections((0, LEFT, 0.9), (0, RIGHT, 0.8), (0, LEFT, 0.7), (1, RIGHT, 0.4))
    mistakes: Any = judge(colors, image, found, EVERYTHING)
    # The last is below the bundle's threshold of 0.5.
    assert mistakes.verdicts.tolist() == [HIT, FALSE, FALSE]
    assert mistakes.missed.tolist() == [False, True, True]
    assert mistakes.badness == pytest.approx(2 + 0.8 + 0.7)
    assert mistakes.record(colors.labels) == {
        "missed": ["green", "red"],
        "false_alarms": [{"label": "red", "score": 0.8}, {"label": "red", "score": 0.7}],
    }


def test_what_does_not_count_is_no_mistake(colors: ModelBundle) -> None:
    image = labelled("x", painted({}), [(0, LEFT), (1, RIGHT), (0, FAR)])
    image = replace(
        image, difficult=np.array([True, False, False]), crowd=np.array([False, True, True])
    )
    inside = (82.0, 52.0, 90.0, 60.0)
    found = detections((0, LEFT, 0.9), (0, inside, 0.8), (2, FAR, 0.7))
    mistakes: Any = judge(colors, image, found, np.array([True, True, False]))
    assert mistakes.verdicts.tolist() == [NOT_COUNTED, NOT_COUNTED]
    assert mistakes.badness == 0 and not mistakes.missed.any()


def test_an_image_without_objects_can_have_false_alarms(colors: ModelBundle) -> None:
    image = labelled("x", painted({}))
    assert judge(colors, image, Detections.empty(), EVERYTHING).badness == 0
    wrong = judge(colors, image, detections((1, LEFT, 0.75)), EVERYTHING)
    assert wrong.badness == 0.75


def test_masks_are_ranked_by_mean_iou(areas: ModelBundle) -> None:
    truth = np.array([[0, 0, 1, 1], [0, 0, 255, 255]], np.uint8)
    image = labelled("x", np.zeros((2, 4, 3), np.uint8), mask=truth)
    answer = np.array([[0, 0, 0, 1], [0, 0, 3, 3]])
    mistakes = judge(areas, image, answer, EVERYTHING)
    assert mistakes.badness == pytest.approx(1 - (4 / 5 + 1 / 2) / 2)
    assert mistakes.record(areas.labels) == {"miou": 0.65, "iou": {"background": 0.8, "red": 0.5}}
    nothing = replace(image, mask=np.full_like(truth, 255))
    assert judge(areas, nothing, answer, EVERYTHING).badness == 0


def test_wrong_classes_are_ranked_by_confidence(classes: ModelBundle) -> None:
    image = labelled("x", painted({}), label=2)
    wrong = judge(classes, image, np.array([0.7, 0.1, 0.2], np.float32), EVERYTHING)
    assert wrong.badness == pytest.approx(0.7)
    assert wrong.record(classes.labels) == {
        "truth": "blue",
        "truth_score": 0.2,
        "answer": "red",
        "score": 0.7,
    }
    right = judge(classes, image, np.array([0.3, 0.3, 0.4], np.float32), EVERYTHING)
    assert right.badness == 0


class Bad:
    def __init__(self, badness: float) -> None:
        self.badness = badness

    def record(self, labels: tuple[str, ...]) -> dict[str, Any]:
        return {}


def kept(most: int, values: list[float]) -> list[tuple[str, float]]:
    worst = WorstImages(most)
    for number, value in enumerate(values):
        mistakes: Mistakes = Bad(value)
        worst.offer(labelled(f"{number}", painted({})), mistakes, number)
    return [(image.name, mistakes.badness) for image, mistakes in worst.ranked()]


def test_the_worst_are_kept_and_of_equals_the_first() -> None:
    assert kept(3, [1, 5, 0, 2, 5, 2, 2]) == [("1", 5), ("4", 5), ("3", 2)]
    assert kept(3, [0, 0.5]) == [("1", 0.5)]
    assert kept(0, [1, 2]) == []
