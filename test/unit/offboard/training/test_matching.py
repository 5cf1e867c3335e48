from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.formats.default_boxes import DefaultBoxSpec, default_boxes
from cnn_perception.formats.format import to_corners
from cnn_perception.formats.ssd_raw import decode_boxes
from cnn_perception.metrics.matching import pairwise_iou
from cnn_perception.offboard.training.matching import BACKGROUND, IGNORED, Matcher

PRIORS = default_boxes(DefaultBoxSpec(((6, 8), (3, 4)), (0.15, 0.4, 0.8), ((2.0,), (2.0, 3.0))))


def random_objects(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    center = rng.uniform(0.2, 0.8, (count, 2))
    half = rng.uniform(0.02, 0.2, (count, 2))
    boxes = np.concatenate([center - half, center + half], 1).astype(np.float32)
    return boxes, rng.integers(0, 5, count), rng.random(count) < 0.3


@pytest.mark.parametrize("seed", range(8))
def test_rules_hold_for_every_default_box(seed: int) -> None:
    boxes, classes, ignored = random_objects(seed, 6)
    targets = Matcher(PRIORS, 0.5, 0.4)(boxes, classes, ignored)
    iou = pairwise_iou(to_corners(PRIORS), boxes)
    taught = iou[:, ~ignored]
    forced = set(taught.argmax(0).tolist())
    for anchor, value in enumerate(targets.classes):
        best = taught[anchor].max(initial=0.0)
        if value > BACKGROUND:
            assert best >= 0.5 or anchor in forced
        elif value == BACKGROUND:
            assert best < 0.4
            assert iou[anchor, ignored].max(initial=0.0) < 0.4
        else:
            assert value == IGNORED
            assert iou[anchor].max() >= 0.4 and (best < 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_deltas_decode_to_the_object(seed: int) -> None:
    boxes, classes, ignored = random_objects(seed, 5)
    targets = Matcher(PRIORS, 0.5, 0.4)(boxes, classes, ignored)
    positive = np.flatnonzero(targets.classes > BACKGROUND)
    decoded = decode_boxes(targets.deltas[positive], PRIORS[positive])
    overlap = pairwise_iou(decoded, boxes)
    assert (overlap.max(1) > 0.999).all()
    np.testing.assert_array_equal(classes[overlap.argmax(1)] + 1, targets.classes[positive])
    assert not targets.deltas[targets.classes <= BACKGROUND].any()


def test_every_object_gets_a_default_box_however_odd() -> None:
    boxes = np.array([[0.5, 0.5, 0.505, 0.9]], np.float32)
    targets = Matcher(PRIORS)(boxes, np.array([3]), np.array([False]))
    assert (targets.classes == 4).sum() == 1


def test_difficult_objects_are_neither_taught_nor_punished() -> None:
    box = to_corners(PRIORS[20:21])
    targets = Matcher(PRIORS)(box, np.array([1]), np.array([True]))
    assert targets.classes[20] == IGNORED
    assert not (targets.classes > BACKGROUND).any()


def test_who_stands_in_a_crowd_is_neither_taught_nor_punished() -> None:
    box = to_corners(PRIORS[20:21])
    around = np.array([[0, 0, 1, 1]], np.float32)
    one = np.ones(1, bool)
    assert (Matcher(PRIORS)(around, np.array([1]), one, one).classes <= IGNORED).all()
    # A person in front of the crowd is taught.
    targets = Matcher(PRIORS)(
        np.concatenate([box, around]), np.array([1, 1]), ~one.repeat(2), np.array([False, True])
    )
    assert targets.classes[20] == 2
    assert set(targets.classes.tolist()) == {IGNORED, 2}


def test_empty_room_is_all_background() -> None:
    targets = Matcher(PRIORS)(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool))
    assert targets.classes.shape == (len(PRIORS),)
    assert not targets.classes.any() and not targets.deltas.any()
