"""The map seen from above, against a loop over every cell."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.grid import project
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.output_filters import coarsen
from pruned_leaves import prune


def random_leaves(seed: int) -> Leaves:
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(32760, 32776, (2500, 3)).astype(np.uint16), axis=0)
    values = rng.choice(np.array([-1.0, 1.0], np.float32), p=[0.97, 0.03], size=len(keys))
    return prune(sort_leaves(Leaves(keys, np.full(len(keys), 16, np.uint8), values)))


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop_over_all_cells(seed: int) -> None:
    leaves = random_leaves(seed)
    grid = project(leaves, 0.1)
    expected: dict[tuple[int, int], int] = {}
    finest = leaves.finest()
    for (x, y, _), value in zip(finest.keys.tolist(), finest.log_odds, strict=True):
        expected[x, y] = max(expected.get((x, y), 0), 100 if value >= 0 else 0)
    left, bottom = (round(edge / 0.1) + 32768 for edge in grid.origin)
    for row, column in np.ndindex(grid.cells.shape):
        assert grid.cells[row, column] == expected.pop((left + column, bottom + row), -1)
    assert expected == {}


def test_rows_run_along_y() -> None:
    leaves = Leaves(
        np.array([[32768, 32768, 32768], [32770, 32768, 32768]], np.uint16),
        np.full(2, 16, np.uint8),
        np.array([1.0, -1.0], np.float32),
    )
    grid = project(leaves, 0.5)
    assert grid.cells.tolist() == [[100, -1, 0]]
    assert grid.origin == (0.0, 0.0)
    assert grid.resolution == 0.5


def test_an_empty_map_has_an_empty_grid() -> None:
    assert project(Leaves.empty(), 0.05).cells.shape == (0, 0)


def test_a_map_too_wide_for_a_grid_is_refused() -> None:
    keys = np.array([[0, 0, 0], [65535, 65535, 0]], np.uint16)
    leaves = Leaves(keys, np.full(2, 16, np.uint8), np.ones(2, np.float32))
    with pytest.raises(MapError, match=r"3277 m x 3277 m wide"):
        project(leaves, 0.05)


@pytest.mark.parametrize("depth", [15, 13])
def test_a_coarse_grid_has_coarse_cells(depth: int) -> None:
    leaves = coarsen(random_leaves(4), depth)
    factor = 1 << (16 - depth)
    grid = project(leaves, 0.1, depth)
    assert grid.resolution == pytest.approx(0.1 * factor)
    fine = project(leaves, 0.1)
    assert np.array_equal(np.kron(grid.cells, np.ones((factor, factor), np.int8)), fine.cells)
    assert grid.origin == pytest.approx(fine.origin)


def test_the_smallest_size_is_kept_about_the_origin() -> None:
    leaves = Leaves(
        np.array([[32768 + 7, 32768, 32768]], np.uint16),
        np.full(1, 16, np.uint8),
        np.ones(1, np.float32),
    )
    grid = project(leaves, 0.5, min_size=(4.0, 2.0))
    assert grid.origin == (-2.0, -1.0)
    assert grid.cells.shape == (5, 12)
    assert grid.cells[2, 11] == 100
    assert np.count_nonzero(grid.cells == -1) == 59
    empty = project(Leaves.empty(), 0.5, min_size=(2.0, 1.0))
    assert (empty.cells.shape, empty.origin) == ((3, 5), (-1.0, -0.5))
    assert (empty.cells == -1).all()
    with pytest.raises(MapError, match="too large"):
        project(leaves, 0.001, min_size=(1000.0, 1000.0))
