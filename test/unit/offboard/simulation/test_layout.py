"""Rooms are the same for the same seed, and nothing stands in anything else."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from cnn_perception.offboard.simulation.furnishing import MAKERS
from cnn_perception.offboard.simulation.labels import MASK_LABELS, MASK_PALETTE, OBJECT_CLASSES
from cnn_perception.offboard.simulation.layout import plan_room
from cnn_perception.offboard.simulation.plan import RoomPlan
from cnn_perception.offboard.simulation.shapes import Placed

HEIGHTS = {
    "chair": (0.6, 1.5),
    "table": (0.37, 0.8),
    "ball": (0.13, 0.33),
    "bottle": (0.2, 0.36),
    "cup": (0.08, 0.14),
    "plant": (0.2, 2.2),
    "box": (0.12, 0.9),
    "cone": (0.28, 0.75),
    "robot": (0.08, 1.4),
    "person": (1.4, 2.05),
    "door": (1.9, 2.3),
    "shelf": (0.85, 2.05),
}


def rectangle(placed: Placed) -> np.ndarray:
    """Corners float32 (4, 2) of an object's bounding rectangle on the floor of the map."""
    (x0, y0, _), (x1, y1, _) = placed.shape.low, placed.shape.high
    c, s = np.cos(placed.yaw), np.sin(placed.yaw)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    return (corners @ np.array([[c, s], [-s, c]]) + placed.position[:2]).astype(np.float32)


@pytest.fixture(scope="module")
def plans() -> list[RoomPlan]:
    return [plan_room(np.random.default_rng(seed)) for seed in range(7)]


def test_every_class_has_a_color_of_its_own() -> None:
    assert len(OBJECT_CLASSES) == 12
    assert MASK_LABELS[3:] == OBJECT_CLASSES
    assert MASK_PALETTE.shape == (len(MASK_LABELS), 3)
    assert len({tuple(rgb) for rgb in MASK_PALETTE.tolist()}) == len(MASK_LABELS)


@pytest.mark.parametrize("label", OBJECT_CLASSES)
def test_shapes_stand_on_the_floor_and_have_a_plausible_height(label: str) -> None:
    low, high = HEIGHTS[label]
    seen = set()
    for seed in range(10):
        shape = MAKERS[label](np.random.default_rng(seed))
        assert shape.label == label
        assert abs(shape.low[2]) < 0.025
        assert low <= shape.high[2] <= high
        seen.add((len(shape.parts), shape.high))
    assert len(seen) > 6, "shapes of one class differ"


def test_same_seed_gives_the_same_room() -> None:
    one, two, other = (plan_room(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one.size == two.size != other.size
    assert [(p.shape.label, p.position, p.yaw) for p in one.objects] == [
        (p.shape.label, p.position, p.yaw) for p in two.objects
    ]
    for first, second in zip(one.objects, two.objects, strict=True):
        for part, same in zip(first.shape.parts, second.shape.parts, strict=True):
            np.testing.assert_array_equal(part.mesh.vertices, same.mesh.vertices)
            np.testing.assert_array_equal(part.texture, same.texture)


def test_objects_stay_between_the_walls(plans: list[RoomPlan]) -> None:
    for plan in plans:
        half = np.array(plan.size[:2]) / 2
        for placed in plan.objects:
            assert (np.abs(rectangle(placed)) <= half + 0.05).all(), placed.shape.label


def test_objects_on_the_floor_do_not_overlap(plans: list[RoomPlan]) -> None:
    for plan in plans:
        standing = [placed for placed in plan.objects if placed.position[2] == 0]
        assert len(standing) >= 5
        for one, two in itertools.combinations(standing, 2):
            area, _ = cv2.intersectConvexConvex(rectangle(one), rectangle(two))
            assert area < 0.006, (one.shape.label, two.shape.label)


def test_what_is_on_a_table_stands_on_its_top(plans: list[RoomPlan]) -> None:
    raised = 0
    for plan in plans:
        carriers = [placed for placed in plan.objects if placed.shape.support is not None]
        for placed in plan.objects:
            if placed.position[2] == 0:
                continue
            raised += 1
            assert any(
                carrier.shape.support is not None
                and carrier.shape.support.height == placed.position[2]
                and cv2.pointPolygonTest(rectangle(carrier), placed.position[:2], False) > 0
                for carrier in carriers
            )
    assert raised > 10


def test_all_classes_occur(plans: list[RoomPlan]) -> None:
    assert {p.shape.label for plan in plans for p in plan.objects} == set(OBJECT_CLASSES)
