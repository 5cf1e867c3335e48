"""A drive is smooth, keeps clear of things, and looks where it goes."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.simulation.layout import plan_room
from cnn_perception.offboard.simulation.path import base_from_link, link_from_optical, plan_drive
from cnn_perception.offboard.simulation.plan import RoomPlan

HZ = 10.0
SEEDS = (0, 1)


@pytest.fixture(scope="module", params=SEEDS)
def plan(request: pytest.FixtureRequest) -> RoomPlan:
    return plan_room(np.random.default_rng(request.param))


def drive(plan: RoomPlan, seconds: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    poses = plan_drive(plan, seconds, HZ, np.random.default_rng(4))
    places = np.array([pose.translation for pose in poses])
    yaws = np.unwrap([np.arctan2(pose.rotation[1, 0], pose.rotation[0, 0]) for pose in poses])
    return places, yaws


def test_drive_is_smooth_and_stays_on_the_floor(plan: RoomPlan) -> None:
    places, yaws = drive(plan)
    assert len(places) == 80
    assert (places[:, 2] == 0).all()
    velocity = np.diff(places, axis=0) * HZ
    assert np.linalg.norm(velocity, axis=1).max() < 0.45
    assert np.linalg.norm(velocity[[0, -1]], axis=1).max() < 0.15, "starts and ends at rest"
    assert np.linalg.norm(np.diff(velocity, axis=0) * HZ, axis=1).max() < 1.5
    assert np.abs(np.diff(yaws) * HZ).max() < np.radians(60)
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).sum() > 0.8, "it does move"


def test_drive_keeps_clear_of_objects_and_walls(plan: RoomPlan) -> None:
    places, _ = drive(plan)
    clearance = plan.grid.clearance()
    assert min(clearance[plan.grid.cell(x, y)] for x, y, _ in places) >= 0.1


def test_same_generator_gives_the_same_drive(plan: RoomPlan) -> None:
    for first, second in zip(drive(plan), drive(plan), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("seconds", "count"), [(0.1, 1), (0.2, 2), (1.0, 10)])
def test_short_drives_have_the_poses_asked_for(seconds: float, count: int) -> None:
    assert len(drive(plan_room(np.random.default_rng(0)), seconds)[0]) == count


def test_room_without_free_floor_is_refused() -> None:
    plan = plan_room(np.random.default_rng(0))
    plan.grid.heights[:] = 1.0
    with pytest.raises(PerceptionError, match="another seed"):
        plan_drive(plan, 1.0, HZ, np.random.default_rng(0))


def test_mounted_camera_looks_forward_and_down() -> None:
    mount = base_from_link() @ link_from_optical()
    right, down, forward = mount.rotation.T
    assert forward[0] > 0.9
    assert -0.5 < forward[2] < 0
    np.testing.assert_allclose(right, [0, -1, 0], atol=1e-12)
    assert down[2] < -0.9
