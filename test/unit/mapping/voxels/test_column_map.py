"""The incremental projection equals the full one, whatever changed in between."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.grid import project
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.voxels.column_map import ColumnMap
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import GridMap2D
from pruned_leaves import prune

RESOLUTION = 0.1


def scan(made: OccupancyMap, rng: np.random.Generator) -> None:
    origin = rng.uniform(-1, 1, 3).astype(np.float32)
    points = (origin + rng.normal(0, 1.5, (40, 3))).astype(np.float32)
    made.insert_points(points, origin)


def same(one: GridMap2D, other: GridMap2D) -> bool:
    return (
        one.cells.shape == other.cells.shape
        and np.array_equal(one.cells, other.cells)
        and one.origin == pytest.approx(other.origin)
        and one.resolution == other.resolution
    )


@pytest.mark.parametrize("heights", [(-100.0, 100.0), (-0.3, 0.35), (50.0, 60.0)])
def test_equals_the_full_projection_after_random_changes(heights: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    made, columns = OccupancyMap(MapperConfig(resolution=RESOLUTION, max_range=3.0)), ColumnMap()
    with made.blocks() as held:
        store = held
    partial = 0
    for step in range(60):
        kind = rng.integers(8)
        low = rng.integers(-12, 8, 3) + 32768
        high = low + rng.integers(0, 20, 3)
        if kind == 0:
            store.fill_box(low, high, float(rng.choice([-2.0, 3.0, np.nan])))
        elif kind == 1 and step % 3 == 0:
            store.keep_box(low - 8, high + 8)
        elif kind == 2 and step % 10 == 0:
            made.reset()
        else:
            scan(made, rng)
        grid = columns.project(store, RESOLUTION, heights, (1.0, 0.0))
        full = project(made.leaves().between(RESOLUTION, *heights), RESOLUTION, 16, (1.0, 0.0))
        assert same(grid, full)
        partial += 0 < columns.recomputed < store.blocks
    assert partial > 10


def test_only_columns_that_changed_are_recomputed() -> None:
    keys = np.array([[32768 + 8 * x, 32768, 32768 + z] for x in range(50) for z in range(3)])
    leaves = Leaves(
        keys.astype(np.uint16), np.full(150, 16, np.uint8), np.full(150, -1.0, np.float32)
    )
    store, columns = VoxelStore(), ColumnMap()
    store.restore(prune(sort_leaves(leaves)))
    everything = (-100.0, 100.0)
    columns.project(store, RESOLUTION, everything)
    assert columns.recomputed == 50
    columns.project(store, RESOLUTION, everything)
    assert columns.recomputed == 0
    store.fill_box(np.array([32768, 32768, 32768]), np.array([32770, 32769, 32769]), 1.0)
    grid = columns.project(store, RESOLUTION, everything)
    assert columns.recomputed == 1
    assert grid.cells[0, 0] == 100
    columns.project(store, RESOLUTION, (0.0, 0.1))
    assert columns.recomputed == 50


def test_nothing_known_is_an_empty_grid() -> None:
    assert ColumnMap().project(VoxelStore(), RESOLUTION, (-1.0, 1.0)).cells.shape == (0, 0)
