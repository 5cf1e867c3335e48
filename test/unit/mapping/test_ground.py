"""The ground filter, on floors whose every point is known."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.mapping.ground import GroundConfig, find_ground

CONFIG = GroundConfig(filter_ground_plane=True)


def plane(
    rng: np.random.Generator, count: int, z: float, slope: float = 0.0, noise: float = 0.005
) -> np.ndarray:
    """Points of a plane z = z + slope * x, with noise."""
    xy = rng.uniform(-3, 3, (count, 2))
    heights = z + slope * xy[:, 0] + rng.normal(0, noise, count)
    return np.column_stack([xy, heights]).astype(np.float32)


def walls(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points of two walls above the floor."""
    y, z = rng.uniform(-3, 3, count), rng.uniform(0.5, 2.5, count)
    return np.column_stack([np.where(y > 0, 3.0, -3.0), y, z]).astype(np.float32)


@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize("size", [60, 100_000])
def test_floor_is_ground_and_walls_are_not(size: int, slope: float) -> None:
    rng = np.random.default_rng(size)
    floor, wall = plane(rng, size, 0.0, slope), walls(rng, size)
    ground = find_ground(np.concatenate([floor, wall]), CONFIG)
    assert ground[:size].mean() > 0.99
    assert not ground[size:].any()


def test_larger_horizontal_planes_elsewhere_are_not_taken_for_the_ground() -> None:
    rng = np.random.default_rng(5)
    floor, table, ceiling = (
        plane(rng, count, z) for count, z in ((3000, 0.01), (6000, 0.75), (9000, 2.5))
    )
    ground = find_ground(np.concatenate([floor, table, ceiling]), CONFIG)
    assert ground[:3000].mean() > 0.99
    assert not ground[3000:].any()


def test_a_slope_steeper_than_the_angle_is_an_obstacle() -> None:
    rng = np.random.default_rng(2)
    floor, ramp = plane(rng, 4000, 0.0), plane(rng, 1000, 0.8, slope=0.5)
    points = np.concatenate([floor, ramp])
    ground = find_ground(points, CONFIG)
    assert ground[:4000].mean() > 0.99
    assert ground[4000:].mean() < 0.1
    alone = np.tile(plane(rng, 4000, 0.0, slope=0.5), (1, 1))
    wide = GroundConfig(filter_ground_plane=True, angle=0.6)
    assert find_ground(alone, wide).mean() > 0.99
    assert find_ground(alone, CONFIG).mean() < 0.1


def test_each_threshold_changes_the_answer() -> None:
    rng = np.random.default_rng(3)
    rough = plane(rng, 5000, 0.05, noise=0.03)

    def share(**values: float) -> float:
        return float(find_ground(rough, GroundConfig(**values)).mean())

    assert share(distance=0.02) < 0.6 < 0.95 < share(distance=0.08)
    assert share(plane_distance=0.02) < 0.3 < share(plane_distance=0.07)


def test_without_a_plane_near_the_base_heights_decide() -> None:
    rng = np.random.default_rng(4)
    wall = walls(rng, 3000)
    scrap = np.float32([[1.0, 0.2, 0.03], [1.0, 0.3, -0.06], [1.0, 0.3, 0.09]])
    ground = find_ground(np.concatenate([scrap, wall]), GroundConfig(angle=0.0))
    assert ground[:3].tolist() == [True, True, False]
    assert not ground[3:].any()


@pytest.mark.parametrize("count", [0, 1, 49])
def test_small_clouds_have_no_ground(count: int) -> None:
    points = plane(np.random.default_rng(0), count, 0.0)
    assert not find_ground(points, CONFIG).any()


@pytest.mark.parametrize("points", [np.zeros((80, 3)), np.tile([1.0, 2.0, 3.0], (80, 1))])
def test_points_without_extent_do_not_fail(points: np.ndarray) -> None:
    ground = find_ground(points.astype(np.float32), CONFIG)
    assert ground.tolist() == (np.abs(points[:, 2]) <= CONFIG.plane_distance).tolist()


def test_equal_points_give_equal_answers() -> None:
    rng = np.random.default_rng(6)
    points = np.concatenate([plane(rng, 20_000, 0.0, noise=0.03), walls(rng, 20_000)])
    assert np.array_equal(find_ground(points, CONFIG), find_ground(points.copy(), CONFIG))
