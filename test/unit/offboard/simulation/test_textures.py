"""Textures are RGB tiles that depend on their generator alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cnn_perception.offboard.simulation import prints, textures
from cnn_perception.types import UInt8Array

MAKERS = {
    make.__name__: make
    for make in (
        *textures.WALLS,
        *textures.FLOORS,
        *textures.FABRICS,
        prints.cardboard,
        prints.football,
        prints.leaf,
        prints.picture,
        prints.rug,
        prints.sky,
    )
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_texture_is_a_seeded_square_of_rgb(
    make: Callable[[np.random.Generator], UInt8Array],
) -> None:
    for seed in range(4):
        first, again = make(np.random.default_rng(seed)), make(np.random.default_rng(seed))
        assert first.dtype == np.uint8
        assert first.shape == (len(first), len(first), 3)
        assert first.flags.c_contiguous
        np.testing.assert_array_equal(first, again)
    assert (make(np.random.default_rng(9)) != first).any()


def test_noise_continues_across_the_edges_of_its_tile() -> None:
    tile = textures.noise(np.random.default_rng(0), 128, 8)
    inside = np.abs(np.diff(tile, axis=0)).mean()
    assert np.abs(tile[0] - tile[-1]).mean() < 3 * inside
    assert np.abs(tile[:, 0] - tile[:, -1]).mean() < 3 * inside
