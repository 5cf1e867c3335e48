"""Random maps and questions: the answers of OctoMap, and of going through every cell."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import KEY_ORIGIN
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.planning.queries import MapQueries
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from plain_streams import encode_file
from pruned_leaves import prune

octomap = pytest.importorskip("octomap", reason="octomap-python is not installed")

RESOLUTIONS = st.sampled_from([0.05, 0.1, 0.123, 1.0])
# Cells: numbers on a grid that is often that of the map, so that borders, edges and ties are met.
COORDINATES = st.one_of(
    st.integers(-12, 12).map(float),
    st.integers(-24, 24).map(lambda value: value / 2),
    st.floats(-30, 30, allow_nan=False),
)
POINTS = st.tuples(COORDINATES, COORDINATES, COORDINATES)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def random_map(seed: int, count: int, spread: int, low: tuple[int, int, int]) -> Leaves:
    """Cells and pruned cubes, free and occupied, somewhere in a map or at its border."""
    rng = np.random.default_rng(seed)
    keys = np.clip(np.array(low) + rng.integers(0, spread, (count, 3)), 0, 65535)
    keys = np.unique(keys, axis=0).astype(np.uint16)
    values = rng.choice(
        np.array([-2.0, -0.4, 0.0, 3.5], np.float32), len(keys), p=[0.4, 0.3, 0.1, 0.2]
    )
    if spread < 6:
        values[:] = values[:1]
    return prune(sort_leaves(Leaves(keys, np.full(len(keys), 16, np.uint8), values)))


MAPS = st.builds(
    random_map,
    st.integers(0, 2**32 - 1),
    st.integers(1, 600),
    st.sampled_from([2, 5, 12, 40]),
    st.one_of(
        st.just((KEY_ORIGIN - 6,) * 3),
        st.tuples(*[st.sampled_from([0, KEY_ORIGIN - 4, 65520])] * 3),
    ),
)


def ask(leaves: Leaves, resolution: float) -> MapQueries:
    store = VoxelStore()
    store.restore(leaves)
    return MapQueries(store, resolution)


def near(leaves: Leaves, points: list[tuple[float, float, float]], resolution: float) -> np.ndarray:
    """Points in cells from the middle of the map's lowest leaf, in metres."""
    corner = leaves.keys[0].astype(np.float64) - KEY_ORIGIN
    return (np.array(points).reshape(-1, 3) + corner) * resolution


@given(
    leaves=MAPS,
    resolution=RESOLUTIONS,
    origin=POINTS,
    # What is zero in float32 is no direction to OctoMap.
    direction=POINTS.filter(lambda axes: max(map(abs, axes)) > 1e-9),
    ignore_unknown=st.booleans(),
    max_cells=st.sampled_from([0.0, 0.4, 3.0, 25.0]),
)
@settings(max_examples=200, deadline=None)
def test_a_ray_ends_where_octomaps_does(
    leaves: Leaves,
    resolution: float,
    origin: tuple[float, float, float],
    direction: tuple[float, float, float],
    ignore_unknown: bool,
    max_cells: float,
) -> None:
    tree = octomap.OcTree.read(encode_file(leaves, resolution, binary=False))
    start = near(leaves, [origin], resolution)
    max_range = max_cells * resolution
    end = np.full(3, np.nan)
    hit = tree.castRay(start[0], np.array(direction), end, ignore_unknown, max_range)
    found = ask(leaves, resolution).cast_rays(
        start, [direction], ignore_unknown=ignore_unknown, max_range=max_range
    )
    assert hit == found.hits[0]
    np.testing.assert_array_equal(found.cells[0], end.astype(np.float32))
    assert np.isfinite(found.distances[0]) == hit


@given(
    leaves=MAPS,
    resolution=RESOLUTIONS,
    points=st.lists(POINTS, min_size=1, max_size=5),
    max_cells=st.sampled_from([0.0, 2.5, 11.0, np.inf]),
)
@settings(max_examples=200, deadline=None)
def test_the_nearest_obstacle_is_that_of_all_cells(
    leaves: Leaves,
    resolution: float,
    points: list[tuple[float, float, float]],
    max_cells: float,
) -> None:
    places = near(leaves, points, resolution)
    finest = leaves.finest()
    low = (finest.keys[finest.occupied].astype(np.float64) - KEY_ORIGIN) * resolution
    gaps = np.maximum(np.maximum(low - places[:, None], places[:, None] - low - resolution), 0.0)
    expected = np.linalg.norm(gaps, axis=2).min(axis=1, initial=np.inf)
    found = ask(leaves, resolution).nearest_obstacles(places, max_cells * resolution)
    # Coordinates of thousands of metres are good to 1e-12.
    within = expected <= max_cells * resolution - 1e-9
    beyond = expected > max_cells * resolution + 1e-9
    np.testing.assert_allclose(found.distances[within], expected[within], rtol=0, atol=1e-9)
    assert np.isinf(found.distances[beyond]).all()
    assert (np.isnan(found.cells).any(axis=1) == np.isinf(found.distances)).all()


@given(
    leaves=MAPS,
    resolution=RESOLUTIONS,
    corners=st.tuples(POINTS, POINTS),
    turn=st.sampled_from(["none", "x", "xyz"]),
)
@settings(max_examples=200, deadline=None)
def test_a_box_meets_the_cells_between_its_corners(
    leaves: Leaves,
    resolution: float,
    corners: tuple[tuple[float, float, float], tuple[float, float, float]],
    turn: str,
) -> None:
    places = near(leaves, list(corners), resolution)
    low, high = places.min(axis=0), places.max(axis=0)
    queries = ask(leaves, resolution)
    found = queries.boxes([low], [high])
    keys = np.floor((1.0 / resolution) * np.array([low, high])) + KEY_ORIGIN
    finest = leaves.finest()
    inside = ((finest.keys >= keys[0]) & (finest.keys <= keys[1])).all(axis=1)
    assert found.occupied[0] == np.count_nonzero(inside & finest.occupied)
    assert found.free[0] == np.count_nonzero(inside & ~finest.occupied)
    # Turned by quarters, the same box meets what it met, and what it touches besides.
    axes = {"none": [0, 1, 2], "x": [0, 2, 1], "xyz": [1, 2, 0]}[turn]
    rotation = np.eye(3)[:, axes]
    size = (high - low)[axes]
    turned = queries.oriented_boxes([(low + high) / 2], [size], [rotation])
    if turn != "none":
        assert turned.occupied[0] >= found.occupied[0]
        assert turned.free[0] >= found.free[0]
        wider = ((finest.keys >= keys[0] - 1) & (finest.keys <= keys[1] + 1)).all(axis=1)
        assert turned.occupied[0] <= np.count_nonzero(wider & finest.occupied)


@given(
    numbers=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=4),
    others=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=4),
    length=NUMBERS,
)
@settings(max_examples=300, deadline=None)
def test_any_numbers_are_answered_or_refused(
    numbers: list[tuple[float, float, float]],
    others: list[tuple[float, float, float]],
    length: float,
) -> None:
    queries = ask(random_map(1, 200, 12, (KEY_ORIGIN - 6,) * 3), 0.1)
    left, right = np.array(numbers).reshape(-1, 3), np.array(others).reshape(-1, 3)
    rotations = np.broadcast_to(np.eye(3)[[1, 2, 0]], (len(left), 3, 3))
    with contextlib.suppress(MapError):
        assert len(queries.occupancy(left).states) == len(left)
    with contextlib.suppress(MapError):
        assert (queries.boxes(left, right).unknown >= 0).all()
    with contextlib.suppress(MapError):
        assert (queries.oriented_boxes(left, right, rotations).unknown >= 0).all()
    with contextlib.suppress(MapError):
        assert len(queries.cast_rays(left, right, max_range=length).stops) == len(right)
    with contextlib.suppress(MapError):
        assert (queries.nearest_obstacles(left, length).distances >= 0).all()
