"""The local window: what it keeps, and that memory stays bounded on a long way."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.types import RigidTransform

BLOCK = 0.8  # metres, at a resolution of 0.1


def at(x: float, y: float = 0.0, z: float = 0.0) -> RigidTransform:
    return RigidTransform(np.eye(3), np.array([x, y, z]))


def surroundings(reach: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-reach, reach, (300, 3)).astype(np.float32)


@pytest.mark.parametrize("engine", ["voxel", "octomap"])
def test_only_the_window_is_kept_to_within_a_block(engine: str) -> None:
    if engine == "octomap":
        pytest.importorskip("octomap", reason="no octomap-python: pip install octomap-python")
    mapper = OccupancyMap(MapperConfig(engine=engine, resolution=0.1, local_window=4.0))
    whole = OccupancyMap(MapperConfig(engine=engine, resolution=0.1))
    for made in (mapper, whole):
        made.integrate_cloud(surroundings(5.0), at(0.3, -0.2, 0.1))
    position = np.array([0.3, -0.2, 0.1])

    def known(made: OccupancyMap) -> dict[tuple[int, ...], float]:
        finest = made.leaves().finest()
        keys = (tuple(key) for key in finest.keys.tolist())
        return dict(zip(keys, finest.log_odds.tolist(), strict=True))

    kept, everything = known(mapper), known(whole)
    assert kept.items() < everything.items()
    for key in everything:
        center = (np.array(key) - 32767.5) * 0.1
        distance = np.abs(center - position).max()
        if distance < 2.0:
            assert key in kept
        if distance > 2.0 + BLOCK:
            assert key not in kept


def test_memory_is_bounded_over_100_metres() -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.1, local_window=6.0, decay_after=1.0))
    sizes, cells = [], []
    for step in range(200):
        mapper.integrate_cloud(surroundings(4.0, step), at(0.5 * step), stamp_ns=step * 10**8)
        sizes.append(mapper.statistics().memory_bytes)
        cells.append(len(mapper.leaves().finest()))
    assert max(sizes[100:]) < 1.2 * max(sizes[:50])
    assert max(cells[100:]) < 1.2 * max(cells[:50])
    centers = mapper.occupied_cells().centers
    assert centers[:, 0].min() > 99.5 - 3.0 - BLOCK


def test_what_comes_back_into_the_window_is_unknown() -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.1, local_window=4.0))
    point = np.float32([[1.05, 0.05, 0.05]])
    mapper.integrate_cloud(point, at(0.0))
    mapper.integrate_cloud(point, at(20.0))
    mapper.integrate_cloud(np.zeros((0, 3), np.float32), at(0.0))
    assert len(mapper.leaves()) == 0


def test_the_window_can_change_while_it_runs() -> None:
    config = {"resolution": 0.1}
    mapper = OccupancyMap(MapperConfig(**config))
    mapper.integrate_cloud(surroundings(8.0), at(0.0))
    before = len(mapper.leaves().finest())
    mapper.config = MapperConfig(**config, local_window=3.0)
    mapper.integrate_cloud(np.zeros((0, 3), np.float32), at(0.0))
    assert len(mapper.leaves().finest()) < before / 2
