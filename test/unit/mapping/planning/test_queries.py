"""Questions to a map: rays against OctoMap's castRay, the rest against plain numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.keys import KEY_ORIGIN
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.planning.queries import MapQueries
from cnn_perception.mapping.planning.query_results import (
    FREE,
    OCCUPIED,
    STOP_BORDER,
    STOP_HIT,
    STOP_RANGE,
    STOP_UNKNOWN,
    UNKNOWN,
    BoxOccupancy,
)
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import RigidTransform

octomap = pytest.importorskip("octomap", reason="octomap-python is not installed")

RESOLUTION = 0.1
HALF = RESOLUTION / 2


def ask(leaves: Leaves, resolution: float = RESOLUTION) -> MapQueries:
    store = VoxelStore()
    store.restore(leaves)
    return MapQueries(store, resolution)


def cells(*keys: tuple[int, int, int], log_odds: float = 1.0) -> Leaves:
    """Single cells, by their keys from the origin of the map on."""
    corners = np.array(keys, np.int64).reshape(-1, 3) + KEY_ORIGIN
    depths = np.full(len(corners), 16, np.uint8)
    return Leaves(corners.astype(np.uint16), depths, np.full(len(corners), log_odds, np.float32))


def joined(*parts: Leaves) -> Leaves:
    return Leaves(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.depths for part in parts]),
        np.concatenate([part.log_odds for part in parts]),
    )


def random_tree(seed: int, resolution: float) -> Any:
    rng = np.random.default_rng(seed)
    tree = octomap.OcTree(resolution)
    for _ in range(3):
        tree.insertPointCloud(rng.normal(size=(300, 3)) * 2, rng.normal(size=3) * 0.3)
    return tree


def room() -> Leaves:
    """A free cube of 16 cells, as one large leaf, with an occupied wall before its far side."""
    corner = np.array([[KEY_ORIGIN, KEY_ORIGIN, KEY_ORIGIN]], np.uint16)
    free = Leaves(corner, np.array([12], np.uint8), np.array([-2.0], np.float32))
    wall = cells(*((16, y, z) for y in range(16) for z in range(16)), log_odds=2.0)
    return joined(free, wall)


# --- occupancy at points


def test_points_have_the_state_and_probability_of_their_cell() -> None:
    queries = ask(joined(cells((0, 0, 0), log_odds=0.0), cells((1, 0, 0), log_odds=-0.4)))
    found = queries.occupancy([[0.05, 0.05, 0.05], [0.15, 0.0, 0.0], [0.25, 0.0, 0.0]])
    assert found.states.tolist() == [OCCUPIED, FREE, UNKNOWN]
    np.testing.assert_allclose(
        found.probabilities, [0.5, 1 / (1 + math.exp(0.4)), np.nan], rtol=1e-6
    )
    assert found.log_odds.dtype == found.probabilities.dtype == np.float32
    assert found.states.dtype == np.int8


@pytest.mark.parametrize("resolution", [0.05, 0.123])
def test_points_agree_with_octomaps_search(resolution: float) -> None:
    tree = random_tree(3, resolution)
    leaves = octomap_codec.decode_file(tree.write()).leaves
    queries = ask(leaves, resolution)
    points = np.random.default_rng(0).uniform(-3, 3, (3000, 3))
    points[:500] = np.round(points[:500] / resolution) * resolution
    points[500:600] = leaves.select(leaves.occupied).cells(resolution).centers[:100]
    expected = [UNKNOWN] * len(points)
    for i, point in enumerate(points):
        try:
            node = tree.search(point)
            expected[i] = OCCUPIED if tree.isNodeOccupied(node) else FREE
        except octomap.NullPointerException:
            continue
    assert set(expected) == {UNKNOWN, FREE, OCCUPIED}
    assert queries.occupancy(points).states.tolist() == expected


def test_what_is_off_the_map_is_unknown() -> None:
    queries = ask(room())
    points = [[1e6, 0, 0], [0, -1e300, 0], [0, 0, 3276.85]]
    assert queries.occupancy(points).states.tolist() == [UNKNOWN] * 3


# --- rays


@pytest.mark.parametrize("resolution", [0.05, 0.1, 0.25])
@pytest.mark.parametrize("max_range", [-1.0, 0.7, 3.3])
@pytest.mark.parametrize("ignore_unknown", [False, True])
def test_rays_end_in_octomaps_cells(
    resolution: float, max_range: float, ignore_unknown: bool
) -> None:
    tree = random_tree(1, resolution)
    queries = ask(octomap_codec.decode_file(tree.write()).leaves, resolution)
    rng = np.random.default_rng(2)
    # Rays to the border of the map are long.
    count = 60 if max_range < 0 and ignore_unknown else 600
    origins, directions = rng.normal(size=(2, count, 3))
    directions[: count // 4] = rng.integers(-1, 2, (count // 4, 3))
    directions[~directions.any(axis=1)] = (0, 0, -2)
    origins[: count // 8] = np.round(origins[: count // 8] / resolution) * resolution
    origins[count // 2 :] *= 0.1
    found = queries.cast_rays(
        origins, directions, ignore_unknown=ignore_unknown, max_range=max_range
    )
    for i in range(count):
        end = np.full(3, np.nan)
        hit = tree.castRay(origins[i], directions[i], end, ignore_unknown, max_range)
        assert hit == found.hits[i]
        np.testing.assert_array_equal(found.cells[i], end.astype(np.float32))
    assert found.hits.any() and not found.hits.all()
    on_hit = found.points[found.hits]
    # The place is on the ray, and on the surface of the cell or where the ray started.
    lengths = np.linalg.norm(directions[found.hits], axis=1)
    along = (
        origins[found.hits]
        + (found.distances[found.hits] / lengths)[:, None] * directions[found.hits]
    )
    np.testing.assert_allclose(on_hit, along, atol=1e-5)
    outside = np.abs(on_hit - found.cells[found.hits]).max(axis=1)
    started = found.distances[found.hits] == 0
    assert (outside[started] <= resolution / 2 + 1e-6).all()
    np.testing.assert_allclose(outside[~started], resolution / 2, atol=1e-5)


def test_a_ray_enters_a_wall_at_its_surface() -> None:
    found = ask(room()).cast_rays([[0.05, 0.75, 0.75]], [[2, 0, 0], [4, 0, 3], [0, -1, 0]])
    assert found.stops.tolist() == [STOP_HIT, STOP_UNKNOWN, STOP_UNKNOWN]
    np.testing.assert_allclose(found.cells[0], [1.65, 0.75, 0.75], rtol=1e-6)
    np.testing.assert_allclose(found.points[0], [1.6, 0.75, 0.75], rtol=1e-6)
    assert found.distances[0] == pytest.approx(1.55)
    assert np.isnan(found.points[1:]).all() and np.isinf(found.distances[1:]).all()
    np.testing.assert_allclose(found.cells[2], [0.05, -0.05, 0.75], atol=1e-6)


def test_a_ray_that_starts_in_a_wall_hits_it_there() -> None:
    origin = [1.62, 0.75, 0.75]
    found = ask(room()).cast_rays([origin], [[1, 0, 0]])
    assert found.hits.all()
    assert found.distances[0] == 0
    np.testing.assert_allclose(found.points[0], origin, rtol=1e-6)


def test_a_ray_stops_at_its_range_and_at_the_border() -> None:
    queries = ask(room())
    assert queries.cast_rays([[0.8] * 3], [[1, 0, 0]], max_range=0.5).stops[0] == STOP_RANGE
    away = queries.cast_rays([[0.8] * 3], [[-1, 0, 0]], ignore_unknown=True)
    assert away.stops[0] == STOP_BORDER
    np.testing.assert_allclose(away.cells[0], [-KEY_ORIGIN * RESOLUTION + HALF, 0.85, 0.85])


def test_a_ray_from_off_the_map_meets_the_unknown() -> None:
    found = ask(room()).cast_rays([[1e5, 0, 0]], [[-1, 0, 0]], ignore_unknown=True)
    assert found.stops[0] == STOP_UNKNOWN
    assert np.isnan(found.cells).all() and np.isinf(found.distances[0])


@pytest.mark.parametrize("length", [1e-300, 1e-30, 1e-3, 1e30, 1e300])
def test_the_length_of_a_direction_is_of_no_importance(length: float) -> None:
    queries = ask(room())
    unit = np.array([[0.9, 0.1, -0.05]])
    expected = queries.cast_rays([[0.8] * 3], unit)
    found = queries.cast_rays([[0.8] * 3], unit * length)
    assert found.hits.all()
    np.testing.assert_array_equal(found.cells, expected.cells)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)


# --- boxes


def test_a_box_counts_the_cells_from_corner_to_corner() -> None:
    found = ask(room()).boxes(
        [[0.0, 0, 0], [1.25, 0.05, 0.05], [3, 3, 3]], [[1.65] * 3] * 2 + [[4] * 3]
    )
    assert found.occupied.tolist() == [256, 256, 0]
    assert found.free.tolist() == [16**3, 4 * 256, 0]
    volumes = [17**3, 5 * 17**2, 11**3]
    assert found.unknown.tolist() == [
        total - occupied - free
        for total, occupied, free in zip(volumes, found.occupied, found.free, strict=True)
    ]
    assert found.states.tolist() == [OCCUPIED, OCCUPIED, UNKNOWN]
    assert found.known[2] == 0


def test_a_box_in_free_space_is_free_and_wholly_known() -> None:
    found = ask(room()).boxes([[0.1] * 3], [[1.0] * 3])
    assert found.states.tolist() == [FREE]
    assert found.known.tolist() == [1.0]


def test_a_point_is_a_box_of_one_cell() -> None:
    found = ask(room()).boxes([[0.1, 0.2, 0.3]], [[0.1, 0.2, 0.3]])
    assert (found.occupied[0], found.free[0], found.unknown[0]) == (0, 1, 0)


def test_a_box_around_everything_finds_the_whole_map_and_the_unknown_beyond() -> None:
    found = ask(room()).boxes([[-1e9] * 3], [[1e9] * 3])
    assert (found.occupied[0], found.free[0]) == (256, 16**3)
    assert found.unknown[0] > 65536**3 - 16**3 - 256
    beyond = ask(room()).boxes([[5000.0] * 3], [[6000.0] * 3])
    assert beyond.states.tolist() == [UNKNOWN]


def test_boxes_agree_with_every_cell_in_them() -> None:
    tree = random_tree(5, RESOLUTION)
    leaves = octomap_codec.decode_file(tree.write()).leaves
    finest, rng = leaves.finest(), np.random.default_rng(1)
    low = rng.uniform(-4, 3, (60, 3))
    high = low + rng.uniform(0, 3, (60, 3))
    found = ask(leaves).boxes(low, high)
    keys = finest.keys.astype(np.int64)
    for i in range(len(low)):
        first, last = (np.floor(c / RESOLUTION) + KEY_ORIGIN for c in (low[i], high[i]))
        inside = ((keys >= first) & (keys <= last)).all(axis=1)
        assert found.occupied[i] == np.count_nonzero(finest.occupied & inside)
        assert found.free[i] == np.count_nonzero(~finest.occupied & inside)
        assert found.unknown[i] == (last - first + 1).prod() - np.count_nonzero(inside)


def total(found: BoxOccupancy) -> int:
    return int(found.occupied[0] + found.free[0] + found.unknown[0])


def gap_between(low: Any, high: Any, center: Any, half: Any, rotation: Any) -> Any:
    """Distance of cubes (N, 3) to a box, by alternating projections onto both convex sets."""
    point = np.broadcast_to(center, low.shape).copy()
    for _ in range(400):
        on_cube = np.clip(point, low, high)
        point = np.clip((on_cube - center) @ rotation, -half, half) @ rotation.T + center
    return np.linalg.norm(on_cube - point, axis=1)


@pytest.mark.parametrize("seed", range(6))
def test_an_oriented_box_meets_the_cells_that_it_touches(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyzw = rng.normal(size=4)
    rotation = RigidTransform.from_quaternion((0, 0, 0), tuple(xyzw)).rotation
    center, half = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.0, 0.35, 3)
    steps = np.indices((24, 24, 24)).reshape(3, -1).T - 12
    gaps = gap_between(steps * RESOLUTION, (steps + 1) * RESOLUTION, center, half, rotation)
    surely, perhaps = steps[gaps < 1e-6], steps[gaps < 1e-3]
    # Every other cell of those that surely meet the box is occupied, and all others around it free.
    occupied = surely[::2]
    chosen = {tuple(key) for key in perhaps.tolist()}
    others = [key for key in map(tuple, steps.tolist()) if key not in chosen]
    queries = ask(joined(cells(*map(tuple, occupied.tolist())), cells(*others, log_odds=-1.0)))
    found = queries.oriented_boxes([center], [2 * half], [rotation])
    assert found.occupied[0] == len(occupied) > 0
    assert found.free[0] == 0
    assert len(surely) <= total(found) <= len(perhaps)


def test_an_oriented_box_without_rotation_is_a_box() -> None:
    queries = ask(room())
    found = queries.oriented_boxes([[0.8, 0.8, 0.8]], [[1.7, 0.4, 0.4]], [np.eye(3)])
    expected = queries.boxes([[-0.05, 0.6, 0.6]], [[1.65, 1.0, 1.0]])
    assert found.occupied == expected.occupied > 0
    assert found.free == expected.free
    assert found.unknown == expected.unknown


def test_a_box_on_edge_fits_where_one_along_the_axes_does_not() -> None:
    # A corridor along the diagonal, with walls on both sides of it.
    steps = np.indices((40, 40, 3)).reshape(3, -1).T
    aside = np.abs(steps[:, 0] - steps[:, 1])
    corridor = joined(
        cells(*map(tuple, steps[aside < 5].tolist()), log_odds=-1.0),
        cells(*map(tuple, steps[aside >= 5].tolist()), log_odds=1.0),
    )
    queries = ask(corridor)
    turn = RigidTransform.from_quaternion(
        (0, 0, 0), (0, 0, math.sin(math.pi / 8), math.cos(math.pi / 8))
    )
    center, size = [[2.0, 2.0, 0.15]], [[1.8, 0.4, 0.1]]
    assert queries.oriented_boxes(center, size, [turn.rotation]).states[0] == FREE
    assert queries.oriented_boxes(center, size, [np.eye(3)]).states[0] == OCCUPIED


# --- distances


def distances_by_hand(points: Any, keys: Any, resolution: float) -> Any:
    """Distance of points (N, 3) to the cubes of keys (M, 3): each pair of them."""
    low = (keys.astype(np.float64) - KEY_ORIGIN) * resolution
    points = points[:, None, :]
    gaps = np.maximum(np.maximum(low - points, points - low - resolution), 0.0)
    return np.linalg.norm(gaps, axis=2)


@pytest.mark.parametrize(("seed", "resolution"), [(0, 0.05), (1, 0.1), (2, 0.25)])
@pytest.mark.parametrize("max_distance", [math.inf, 0.31])
def test_the_nearest_obstacle_is_that_of_all_cells(
    seed: int, resolution: float, max_distance: float
) -> None:
    leaves = octomap_codec.decode_file(random_tree(seed, resolution).write()).leaves
    occupied = leaves.finest().select(leaves.finest().occupied)
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.normal(size=(150, 3)) * 2, rng.normal(size=(30, 3)) * 40])
    points[:30] = np.round(points[:30] / resolution) * resolution
    expected = distances_by_hand(points, occupied.keys, resolution)
    nearest = expected.min(axis=1)
    found = ask(leaves, resolution).nearest_obstacles(points, max_distance)
    within = nearest <= max_distance
    np.testing.assert_allclose(found.distances[within], nearest[within], rtol=1e-12, atol=1e-12)
    assert np.isinf(found.distances[~within]).all() and np.isnan(found.cells[~within]).all()
    keys = np.floor(found.cells[within].astype(np.float64) / resolution) + KEY_ORIGIN
    at = distances_by_hand(points[within], keys, resolution).diagonal()
    np.testing.assert_allclose(at, nearest[within], rtol=1e-12, atol=1e-12)
    assert {tuple(key) for key in keys.astype(int).tolist()} <= {
        tuple(key) for key in occupied.keys.tolist()
    }


@pytest.mark.parametrize("seed", range(3))
def test_unknown_cells_are_obstacles_on_request(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Known cells with holes, over several blocks; one block is free as a whole.
    steps = np.indices((20, 18, 16)).reshape(3, -1).T - 8
    known = steps[(rng.random(len(steps)) < 0.97) | ((steps >= 0) & (steps < 8)).all(axis=1)]
    free = cells(*map(tuple, known.tolist()), log_odds=-1.0)
    around = np.indices((22, 20, 18)).reshape(3, -1).T - 9
    taken = {tuple(key) for key in known.tolist()}
    unknown = np.array([key for key in around.tolist() if tuple(key) not in taken])
    points = rng.uniform(-0.75, 0.75, (200, 3))
    expected = distances_by_hand(points, unknown + KEY_ORIGIN, RESOLUTION).min(axis=1)
    found = ask(free).nearest_obstacles(points, unknown_as_obstacle=True)
    np.testing.assert_allclose(found.distances, expected, rtol=1e-12, atol=1e-12)
    assert np.isinf(ask(free).nearest_obstacles(points).distances).all()


def test_of_equally_near_cells_the_lowest_keys_win() -> None:
    around = [(-4, 0, 0), (4, 0, 0), (0, -4, 0), (0, 4, 0), (0, 0, -4), (0, 0, 4)]
    for order in (around, around[::-1]):
        # An edge of a power of two, so that nothing is rounded.
        found = ask(cells(*order), 0.125).nearest_obstacles([[0.0625] * 3])
        assert found.distances.tolist() == [0.4375]
        assert found.cells.tolist() == [[-0.4375, 0.0625, 0.0625]]


def test_distance_is_to_the_surface_and_nothing_inside() -> None:
    queries = ask(cells((0, 0, 0)))
    found = queries.nearest_obstacles([[0.05, 0.05, 0.05], [0.4, 0.05, 0.05], [0.4, 0.5, 0.05]])
    np.testing.assert_allclose(found.distances, [0.0, 0.3, 0.5], atol=1e-7)


def test_the_maximum_distance_counts_itself() -> None:
    queries = ask(cells((0, 0, 0)))
    exact = queries.nearest_obstacles([[0.7, 0.9, 0.3]]).distances[0]
    assert queries.nearest_obstacles([[0.7, 0.9, 0.3]], exact).distances[0] == exact
    below = np.nextafter(exact, 0)
    assert np.isinf(queries.nearest_obstacles([[0.7, 0.9, 0.3]], below).distances[0])


def test_points_off_the_map_see_what_is_on_it() -> None:
    queries = ask(cells((0, 0, 0)))
    points = [[5000.0, 0.05, 0.05], [0.05, 0.05, -1e30], [0.05, 1e30, 0.05]]
    found = queries.nearest_obstacles(points)
    np.testing.assert_allclose(found.distances, [4999.9, 1e30, 1e30])
    assert np.isfinite(found.cells).all()
    assert queries.nearest_obstacles(points, unknown_as_obstacle=True).distances.tolist() == [0] * 3


def test_an_empty_map_has_no_obstacles() -> None:
    queries = MapQueries(VoxelStore(), RESOLUTION)
    assert np.isinf(queries.nearest_obstacles([[0, 0, 0]]).distances).all()
    assert queries.nearest_obstacles([[0, 0, 0]], unknown_as_obstacle=True).distances[0] == 0
    assert queries.boxes([[0, 0, 0]], [[0, 0, 0]]).states.tolist() == [UNKNOWN]
    assert queries.cast_rays([[0, 0, 0]], [[1, 0, 0]]).stops.tolist() == [STOP_UNKNOWN]


# --- refusals, and nothing asked


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (lambda q: q.occupancy([0, 0, 0]), r"points have shape \(3,\): expected \(N, 3\)"),
        (lambda q: q.occupancy([[0, 0, 0], [0, math.nan, 0]]), "point 1 is .*nan.*finite"),
        (lambda q: q.nearest_obstacles([[0, 0, math.inf]]), "point 0 is .*inf.*finite"),
        (lambda q: q.nearest_obstacles([[0, 0, 0]], -1.0), "max_distance is -1 m"),
        (lambda q: q.nearest_obstacles([[0, 0, 0]], math.nan), "max_distance is nan m"),
        (lambda q: q.cast_rays([[0, 0, 0]], [[1, 0, 0], [0, 0, 0]]), "direction 1 is"),
        (lambda q: q.cast_rays(np.zeros((2, 3)), np.ones((3, 3))), "2 origins and 3 directions"),
        (lambda q: q.cast_rays([[0, 0, 0]], [[1, 0, 0]], max_range=math.nan), "max_range is NaN"),
        (lambda q: q.boxes([[0, 1, 0]], [[1, 0, 1]]), "box 0 goes from .* lower corner first"),
        (lambda q: q.boxes(np.zeros((2, 3)), np.zeros((1, 3))), "2 low corners and 1 high ones"),
        (
            lambda q: q.oriented_boxes([[0, 0, 0]], [[1, 1, 1]], [2 * np.eye(3)]),
            "not orthonormal",
        ),
        (
            lambda q: q.oriented_boxes([[0, 0, 0]], [[1, -1, 1]], [np.eye(3)]),
            r"box 0 has size \[1.0, -1.0, 1.0\]",
        ),
        (
            lambda q: q.oriented_boxes([[0, 0, 0]], [[1, 1, 1]], [np.eye(3)] * 2),
            r"1 centres, 1 sizes and rotations of shape \(2, 3, 3\)",
        ),
        (
            lambda q: q.oriented_boxes([[0, 0, 0]], [[9e3] * 3], [np.eye(3)[[1, 2, 0]]]),
            "too many cells",
        ),
    ],
)
def test_a_question_that_has_no_answer_is_refused(question: Any, text: str) -> None:
    with pytest.raises(MapError, match=text):
        question(ask(room()))


def test_nothing_asked_is_nothing_answered() -> None:
    queries, none = ask(room()), np.zeros((0, 3))
    assert len(queries.occupancy(none).states) == 0
    assert len(queries.boxes(none, none).states) == 0
    assert len(queries.oriented_boxes(none, none, np.zeros((0, 3, 3))).states) == 0
    assert len(queries.cast_rays([[0, 0, 0]], none).stops) == 0
    assert len(queries.nearest_obstacles(none).distances) == 0


# --- through the mapper


@pytest.mark.parametrize("engine", ["voxel", "octomap"])
def test_a_mapper_answers_with_the_map_of_the_moment(engine: str) -> None:
    mapper = OccupancyMap(MapperConfig(resolution=RESOLUTION, engine=engine))
    wall = np.array([[1.0, y, 0.05] for y in np.linspace(-0.5, 0.5, 41)], np.float32)
    for _ in range(2):
        mapper.integrate_cloud(wall, RigidTransform.identity())
        with mapper.queries() as ask_map:
            assert ask_map.cast_rays([[0, 0, 0.05]], [[1, 0, 0]]).distances[0] == pytest.approx(1)
            assert ask_map.occupancy([[0.55, 0, 0.05]]).states.tolist() == [FREE]
            assert ask_map.nearest_obstacles([[0.6, 0.05, 0.05]]).distances[0] == pytest.approx(0.4)
        mapper.reset()
        with mapper.queries() as ask_map:
            assert ask_map.occupancy([[0.55, 0, 0.05]]).states.tolist() == [UNKNOWN]
