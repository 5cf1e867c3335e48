"""Keys, codes, pruning and boxes of the array form of an octree."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.leaves import (
    KEY_ORIGIN,
    Leaves,
    cell_keys,
    fill_box,
    morton_codes,
    morton_keys,
    prune,
    sort_leaves,
)


def block(corner: tuple[int, int, int], side: int, value: float) -> Leaves:
    """A cube of finest cells."""
    keys = np.indices((side,) * 3).reshape(3, -1).T + np.array(corner)
    count = len(keys)
    return sort_leaves(
        Leaves(
            keys.astype(np.uint16), np.full(count, 16, np.uint8), np.full(count, value, np.float32)
        )
    )


def as_dictionary(leaves: Leaves) -> dict[tuple[int, ...], float]:
    finest = leaves.finest()
    return {
        tuple(int(k) for k in key): float(value)
        for key, value in zip(finest.keys, finest.log_odds, strict=True)
    }


@pytest.mark.parametrize("resolution", [0.02, 0.05, 0.1, 0.3])
def test_points_on_borders_are_in_the_cells_that_octomap_says(resolution: float) -> None:
    octomap = pytest.importorskip("octomap", reason="octomap-python is not installed")
    tree = octomap.OcTree(resolution)
    points = np.array([[i * resolution, 0.01 * i, -resolution * i] for i in range(-300, 300)])
    points = points.astype(np.float32)  # as OctoMap's point3d
    keys = [tree.coordToKey(point) for point in points.astype(np.float64)]
    wanted = [[key[axis] for axis in range(3)] for key in keys]
    assert cell_keys(points, resolution).tolist() == wanted


def test_points_off_the_map_are_one_cell_off_it() -> None:
    points = np.array([[-1e300, -1e9, 0.0], [1e300, 1e9, np.nextafter(0.0, -1)]])
    off = 2 * KEY_ORIGIN
    assert cell_keys(points, 0.05).tolist() == [[-1, -1, 32768], [off, off, 32767]]


def test_codes_interleave_bits_with_x_lowest() -> None:
    keys = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0], [65535] * 3], np.uint16)
    assert morton_codes(keys).tolist() == [1, 2, 4, 8, 2**48 - 1]


def test_codes_and_keys_are_inverse() -> None:
    keys = np.random.default_rng(3).integers(0, 65536, (1000, 3)).astype(np.uint16)
    np.testing.assert_array_equal(morton_keys(morton_codes(keys)), keys)


def test_pruning_joins_equal_siblings_over_several_levels() -> None:
    pruned = prune(block((32768, 32768, 32768), 4, 0.5))
    assert pruned.depths.tolist() == [14]
    assert pruned.keys.tolist() == [[32768] * 3]
    assert pruned.log_odds.tolist() == [0.5]


def test_pruning_leaves_unequal_and_misaligned_cells_alone() -> None:
    leaves = block((32769, 32768, 32768), 2, 0.5)
    assert len(prune(leaves)) == 8
    values = block((32768, 32768, 32768), 2, 0.5)
    values.log_odds[3] = 0.25
    assert len(prune(values)) == 8


@pytest.mark.parametrize("seed", range(4))
def test_pruning_and_splitting_keep_the_occupancy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    leaves = block((32760, 32760, 32760), 16, 0.0)
    leaves.log_odds[:] = rng.choice(
        np.array([-1.0, 1.0], np.float32), p=[0.98, 0.02], size=len(leaves)
    )
    pruned = prune(leaves)
    assert len(pruned) < len(leaves)
    assert as_dictionary(pruned) == as_dictionary(leaves)


def test_a_box_is_filled_inside_a_larger_cube() -> None:
    cube = prune(block((32768, 32768, 32768), 4, 0.5))
    low, high = np.array([32768, 32769, 32770]), np.array([32768, 32770, 40000])
    before, after = as_dictionary(cube), as_dictionary(fill_box(cube, low, high, -2.0))
    assert before.keys() == after.keys()
    for key, value in after.items():
        inside = all(low[i] <= key[i] <= high[i] for i in range(3))
        assert value == (-2.0 if inside else 0.5)


def test_a_box_off_the_map_changes_nothing() -> None:
    cube = prune(block((32768, 32768, 32768), 4, 0.5))
    filled = fill_box(cube, np.array([-1] * 3), np.array([32767] * 3), -2.0)
    assert as_dictionary(filled) == as_dictionary(cube)


def test_cells_are_cubes_in_metres() -> None:
    leaves = Leaves(
        np.array([[32768, 32768, 32768], [32764, 32768, 32772]], np.uint16),
        np.array([16, 14], np.uint8),
        np.zeros(2, np.float32),
    )
    cells = leaves.cells(0.5)
    np.testing.assert_allclose(cells.centers, [[0.25, 0.25, 0.25], [-1.0, 1.0, 3.0]])
    np.testing.assert_allclose(cells.sizes, [0.5, 2.0])


def test_arrays_that_disagree_are_refused() -> None:
    with pytest.raises(MapError, match=r"keys has shape \(2, 3\): expected \(1, 3\)"):
        Leaves(np.zeros((2, 3), np.uint16), np.zeros(1, np.uint8), np.zeros(1, np.float32))
