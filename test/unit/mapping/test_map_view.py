"""What a map's outputs show, under each setting, while the map and the settings change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.grid import project
from cnn_perception.mapping.map_view import MapView
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.output_filters import OutputConfig, coarsen, without_speckles
from cnn_perception.types import RigidTransform

PLAIN = MapperConfig(resolution=0.1, max_range=4.0)


def scan(mapper: OccupancyMap, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 1.5, (60, 3)).astype(np.float32)
    mapper.integrate_cloud(points, RigidTransform(np.eye(3), rng.uniform(-1, 1, 3)))


@pytest.mark.parametrize("engine", ["voxel", "octomap"])
@pytest.mark.parametrize(
    "values", [{}, {"max_depth": 14}, {"filter_speckles": True}, {"min_x_size": 9.0}]
)
def test_the_incremental_projection_equals_the_full_one(engine: str, values: Any) -> None:
    if engine == "octomap":
        pytest.importorskip("octomap", reason="no octomap-python: pip install octomap-python")
    config = MapperConfig(engine=engine, resolution=0.1, max_range=4.0)
    mapper = OccupancyMap(config)
    full = MapView(mapper, OutputConfig(**values))
    incremental = MapView(mapper, OutputConfig(incremental_projection=True, **values))
    for step in range(12):
        if step == 5:
            mapper.clear_box(np.float32([-1, -1, -1]), np.float32([0, 0, 0]), forget=True)
        elif step == 8:
            mapper.reset()
        elif step == 10:
            limits = {"occupancy_min_z": -0.5, "occupancy_max_z": 0.5}
            mapper.config = MapperConfig(engine=engine, resolution=0.1, max_range=4.0, **limits)
        scan(mapper, step)
        one, other = full.projected_map(), incremental.projected_map()
        assert np.array_equal(one.cells, other.cells)
        assert one.cells.size > 100
        assert one.origin == pytest.approx(other.origin)
        assert one.resolution == other.resolution


def test_occupied_and_free_cells_are_cut_in_the_right_order() -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.1, max_range=4.0, occupancy_max_z=0.3))
    for seed in range(3):
        scan(mapper, seed)
    view = MapView(mapper, OutputConfig(max_depth=15, filter_speckles=True))
    expected = without_speckles(coarsen(mapper.leaves(), 15), 15).between(0.1, -100.0, 0.3)
    assert np.array_equal(view.occupied().keys, expected.select(expected.occupied).keys)
    assert np.array_equal(view.free().keys, expected.select(~expected.occupied).keys)
    grid = project(expected, 0.1, 15)
    assert np.array_equal(view.projected_map().cells, grid.cells)


def test_changes_of_the_map_and_of_the_settings_are_seen_at_once() -> None:
    mapper = OccupancyMap(PLAIN)
    view = MapView(mapper, OutputConfig())
    assert len(view.occupied()) == 0
    scan(mapper, 0)
    first = len(view.occupied())
    assert first > 10
    view.config = OutputConfig(max_depth=13)
    assert len(view.occupied()) < first
    view.config = OutputConfig(compress_map=False)
    assert set(view.free().depths.tolist()) == {16}
    view.config = OutputConfig()
    mapper.config = MapperConfig(resolution=0.1, max_range=4.0, occupancy_min_z=50.0)
    assert len(view.occupied()) == 0


def test_topics_and_pictures_show_the_same_layers() -> None:
    """Limits on borders of cells, where the last digit decides."""
    mapper = OccupancyMap(PLAIN)
    for seed in range(6):
        scan(mapper, seed)
    view = MapView(mapper, OutputConfig())
    for key in range(-20, 21):
        mapper.config = replace(PLAIN, occupancy_min_z=key * 0.1, occupancy_max_z=(key + 3) * 0.1)
        for shown, drawn in (
            (view.occupied(), mapper.occupied_cells()),
            (view.free(), mapper.free_cells()),
        ):
            assert np.array_equal(shown.cells(0.1).centers, drawn.centers)
        assert np.array_equal(view.projected_map().cells, mapper.projected_map().cells)
