"""What is published of a map, against loops over every cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.output_filters import coarsen, split, without_speckles
from pruned_leaves import prune

Cell = tuple[int, int, int]


def random_leaves(seed: int, count: int = 2500, occupied: float = 0.05) -> Leaves:
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(32760, 32776, (count, 3)).astype(np.uint16), axis=0)
    hit = rng.random(len(keys)) < occupied
    values = np.where(hit, rng.uniform(0, 2, len(keys)), -1.0).astype(np.float32)
    solid = (keys >= 32760).all(axis=1) & (keys < 32764).all(axis=1)
    values[solid] = 1.5
    return prune(sort_leaves(Leaves(keys, np.full(len(keys), 16, np.uint8), values)))


def as_dict(leaves: Leaves) -> dict[tuple[Cell, int], float]:
    return {
        (tuple(key), depth): value
        for key, depth, value in zip(
            leaves.keys.tolist(), leaves.depths.tolist(), leaves.log_odds.tolist(), strict=True
        )
    }


def single(key: Cell, depth: int = 16, value: float = 1.0) -> Leaves:
    return Leaves(np.array([key], np.uint16), np.array([depth], np.uint8), np.float32([value]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("depth", [16, 15, 14, 12])
def test_coarse_cells_have_the_highest_value_of_their_children(seed: int, depth: int) -> None:
    leaves = random_leaves(seed, 12_000, 0.2)
    assert len(np.unique(leaves.depths)) > 1
    span = 1 << (16 - depth)
    expected: dict[tuple[Cell, int], float] = {}
    for (key, own), value in as_dict(leaves).items():
        parent = (tuple(k // span * span for k in key), min(own, depth))
        expected[parent] = max(expected.get(parent, -np.inf), value)
    coarse = coarsen(leaves, depth)
    assert as_dict(coarse) == expected
    assert np.array_equal(sort_leaves(coarse).keys, coarse.keys)


def test_coarse_cells_of_nothing_are_nothing() -> None:
    assert len(coarsen(Leaves.empty(), 3)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_speckles_are_finest_cells_without_occupied_neighbours(seed: int) -> None:
    leaves = random_leaves(seed)
    finest = leaves.finest()
    solid = {tuple(k) for k in finest.select(finest.occupied).keys.tolist()}

    def speckle(key: Cell) -> bool:
        steps = itertools.product((-1, 0, 1), repeat=3)
        near = {tuple(a + b for a, b in zip(key, step, strict=True)) for step in steps} - {key}
        return not near & solid

    expected = {
        (key, depth): value
        for (key, depth), value in as_dict(leaves).items()
        if depth < 16 or value < 0 or not speckle(key)
    }
    assert len(expected) < len(leaves)
    assert as_dict(without_speckles(leaves)) == expected


def test_a_larger_neighbour_and_the_border_of_the_map_count_as_they_are() -> None:
    assert len(without_speckles(single((0, 0, 0)))) == 0
    assert len(without_speckles(single((65535, 65535, 65535)))) == 0
    ends = Leaves(
        np.array([[0, 0, 0], [65535, 65535, 65535]], np.uint16),
        np.full(2, 16, np.uint8),
        np.ones(2, np.float32),
    )
    assert len(without_speckles(ends)) == 0
    beside = sort_leaves(
        Leaves(
            np.array([[8, 8, 8], [7, 8, 8]], np.uint16),
            np.array([14, 16], np.uint8),
            np.ones(2, np.float32),
        )
    )
    assert len(without_speckles(beside)) == 2
    assert len(without_speckles(single((8, 8, 8), 14))) == 1
    assert len(without_speckles(single((8, 8, 8), 14), 14)) == 0


@pytest.mark.parametrize("seed", range(2))
def test_split_cells_are_the_same_space(seed: int) -> None:
    leaves = random_leaves(seed, 12_000, 0.0)
    assert as_dict(sort_leaves(split(leaves))) == as_dict(leaves.finest())
    coarse = coarsen(leaves, 15)
    assert set(split(coarse, 15).depths.tolist()) == {15}
    assert as_dict(sort_leaves(split(coarse, 15).finest())) == as_dict(coarse.finest())


def test_a_map_with_too_many_cells_is_not_split() -> None:
    with pytest.raises(MapError, match="set compress_map"):
        split(single((0, 0, 0), 3))
