"""Pruning, splitting and heights of the array form of an octree."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import KEY_ORIGIN, morton_codes
from cnn_perception.mapping.leaves import Leaves, expand, joined, sort_leaves
from pruned_leaves import prune


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


def test_heights_cut_whole_cells() -> None:
    leaves = sort_leaves(
        Leaves(
            np.array([[0, 0, 32768 + z] for z in range(4)], np.uint16),
            np.full(4, 16, np.uint8),
            np.ones(4, np.float32),
        )
    )
    assert leaves.between(0.5, 0.5, 1.5).keys[:, 2].tolist() == [32769, 32770]
    assert leaves.between(0.5, 0.4, 1.6).keys[:, 2].tolist() == [32768, 32769, 32770, 32771]
    assert leaves.between(0.5, -100.0, 100.0) is leaves


@pytest.mark.parametrize("resolution", [0.05, 0.1, 0.07])
def test_a_height_on_a_border_of_cells_cuts_there(resolution: float) -> None:
    """The top of a cell is the bottom of the next, to the last digit, however large they are."""
    keys = np.array([[0, 0, 32768 + z] for z in range(-400, 400, 2)], np.uint16)
    coarse = Leaves(keys, np.full(len(keys), 15, np.uint8), np.ones(len(keys), np.float32))
    fine = coarse.finest()
    for z in range(-100, 100):
        border = (32768 + 2 * z - float(KEY_ORIGIN)) * resolution
        for leaves, span in ((coarse, 2), (fine, 1)):
            above = leaves.between(resolution, border, np.inf).keys[:, 2].astype(int)
            below = leaves.between(resolution, -np.inf, border).keys[:, 2].astype(int)
            assert above.min() == 32768 + 2 * z
            assert below.max() == 32768 + 2 * z - span
            assert len(above) + len(below) == len(leaves)


@pytest.mark.parametrize("depth", [14, 15, 16])
def test_splitting_keeps_the_occupancy_and_leaves_nothing_larger(depth: int) -> None:
    cubes = prune(block((32768, 32768, 32768), 8, 0.5))
    mixed = joined([cubes, block((32760, 32768, 32768), 3, -1.0)])
    split = mixed.split(depth)
    assert split.depths.min() == depth
    assert as_dictionary(split) == as_dictionary(mixed)
    assert mixed.split(13).depths.tolist() == mixed.depths.tolist()


def test_expanded_cubes_have_eight_children() -> None:
    cubes = sort_leaves(
        joined([prune(block((32768 + 8 * side, 32768, 32768), side, 0.1)) for side in (1, 2, 4)])
    )
    children = expand(cubes, cubes.depths < 16)
    assert sorted(children.depths.tolist()) == [15] * 8 + [16] * 9
    assert (np.diff(morton_codes(children.keys)) > 0).all()
    assert as_dictionary(children) == as_dictionary(cubes)
