"""Keys of cells and blocks, in arrays and in kernels."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import (
    CELLS,
    KEY_ORIGIN,
    block_keys,
    cell_keys,
    check_on_map,
    morton_codes,
    morton_keys,
    on_map,
    packed_keys,
    visible,
)
from cnn_perception.mapping.voxels.cell_kernels import (
    block_code,
    block_corner,
    block_key,
    block_of,
    cell_of,
    center_of,
    index_in_block,
)


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


@pytest.mark.parametrize("resolution", [0.02, 0.1, 1 / 3])
def test_kernels_and_arrays_agree(resolution: float) -> None:
    rng = np.random.default_rng(0)
    borders = rng.integers(-KEY_ORIGIN, KEY_ORIGIN, (40, 3)) * resolution
    points = np.concatenate([borders, rng.normal(0, 100, (40, 3))]).astype(np.float32)
    points = points[on_map(points, resolution)]
    assert len(points) > 60
    keys = cell_keys(points, resolution)
    cells = np.array([cell_of(*point, 1.0 / resolution) for point in points], np.int64)
    assert np.array_equal(packed_keys(cells), keys)
    codes = np.array([block_of(cell) for cell in cells.tolist()], np.int64)
    assert np.array_equal(block_keys(codes), keys >> 3)
    for key, cell, code in zip(keys.tolist(), cells.tolist(), codes.tolist(), strict=True):
        x, y, z = key
        assert code == block_code(x >> 3, y >> 3, z >> 3)
        assert block_key(code) == (x >> 3, y >> 3, z >> 3)
        assert block_corner(code) == (x & ~7, y & ~7, z & ~7)
        assert index_in_block(cell) == (z % 8 * 8 + y % 8) * 8 + x % 8 < CELLS
        assert cell_keys(np.full(3, center_of(x, resolution)), resolution).tolist() == [x] * 3


def test_what_is_off_the_map_has_no_cell() -> None:
    reach = KEY_ORIGIN * 0.125
    for value in (-reach - 0.01, reach, np.nan, np.inf):
        place = np.float32([0.0, value, 0.0])
        assert not on_map(place[None], 0.125)[0]
        assert cell_of(*place, 8.0) == -1
        with pytest.raises(MapError, match="the sensor is at"):
            check_on_map(place, 0.125)
    check_on_map(np.float32([0.0, -reach, 0.0]), 0.125)


def test_the_highest_key_is_visible() -> None:
    keys = np.array([0, 65535], np.uint16)
    top = KEY_ORIGIN * 0.5
    assert visible(keys, 1, 0.5, top - 0.1, np.inf).tolist() == [False, True]
    assert visible(keys, 1, 0.5, -np.inf, -top + 0.1).tolist() == [True, False]
