"""The map on whatever clouds there may be: every cell and every bit as the plain rules say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.types import Float32Array
from plain_octomap import PlainTree

# Whole multiples of the resolution lie on the borders of cells; some numbers are no coordinates.
ODD = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, 3e38, -4e3])


@st.composite
def clouds(draw: Any, resolution: float) -> tuple[Float32Array, Float32Array]:
    """A cloud within 30 cells of its origin, with borders, repeated points and odd values."""
    scale = float(np.float32(30 * resolution))
    near = st.one_of(
        st.floats(-scale, scale, width=32),
        st.integers(-30, 30).map(lambda n: float(np.float32(n * resolution))),
        st.integers(-30, 30).map(lambda n: float(np.float32((n + 0.5) * resolution))),
    )
    shift = draw(st.sampled_from([0.0, 0.0, 100.0 * resolution, -20000.0 * resolution]))
    origin = np.float32([draw(near) + shift for _ in range(3)])
    point = st.tuples(*[st.one_of(near, near, near, ODD)] * 3)
    points = np.array(draw(st.lists(point, max_size=25)), np.float32).reshape(-1, 3)
    return points + np.float32(shift), origin


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equals_the_plain_rules(data: Any) -> None:
    resolution = data.draw(st.sampled_from([0.02, 0.05, 0.1, 0.25, 1 / 3]))
    config = MapperConfig(resolution=resolution)
    made, plain = OccupancyMap(config), PlainTree(resolution)
    for _ in range(data.draw(st.integers(1, 3))):
        points, origin = data.draw(clouds(resolution))
        max_range = data.draw(st.sampled_from([-1.0, 0.0, 7 * resolution, 20 * resolution]))
        discretize = data.draw(st.booleans())
        clearing = data.draw(clouds(resolution))[0] if data.draw(st.booleans()) else None
        # A far point without a limit would keep the plain rules busy for minutes.
        if max_range < 0:
            points = points[~(np.abs(points) > 100 + abs(float(origin[0])) * 2).any(axis=1)]
            clearing = None
        made.config = replace(config, max_range=max_range, discretize=discretize)
        report = made.insert_points(points, origin, clearing)
        assert report == plain.insert(points, origin, made.config, clearing)
    left, right = made.leaves(), plain.leaves()
    np.testing.assert_array_equal(left.keys, right.keys)
    np.testing.assert_array_equal(left.depths, right.depths)
    np.testing.assert_array_equal(left.log_odds.view(np.uint32), right.log_odds.view(np.uint32))
