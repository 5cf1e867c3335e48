"""The map and octomap-python against the plain rules: no key and no bit may differ."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.octomap_tree import OctomapTree, usable_points
from cnn_perception.mapping.sensor_model import log_odds
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform
from plain_octomap import PlainTree

octomap = pytest.importorskip("octomap", reason="octomap-python is not installed")

ENGINES = ("voxel", "octomap")


def scans(seed: int, count: int = 3, points: int = 120) -> list[tuple[Float32Array, Float32Array]]:
    """Point clouds and origins; some points share a cell, some rays run along the axes."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        origin = rng.uniform(-0.6, 0.6, 3).astype(np.float32)
        cloud = rng.uniform(-1.5, 1.5, (points, 3)).astype(np.float32)
        cloud[:10] = cloud[10:20] + np.float32(0.001)
        cloud[20:23] = origin + np.diag([1.2, -0.9, 0.7]).astype(np.float32)
        cloud[23] = origin
        cloud[24] = np.round(cloud[24], 1)
        result.append((cloud, origin))
    return result


def assert_same(left: Leaves, right: Leaves) -> None:
    np.testing.assert_array_equal(left.keys, right.keys)
    np.testing.assert_array_equal(left.depths, right.depths)
    np.testing.assert_array_equal(left.log_odds.view(np.uint32), right.log_odds.view(np.uint32))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("discretize", [False, True])
@pytest.mark.parametrize("max_range", [-1.0, 0.9])
@pytest.mark.parametrize(
    "settings",
    [
        {"resolution": 0.1},
        {"resolution": 0.07, "probability_hit": 0.9, "probability_miss": 0.2},
        {"resolution": 0.25, "clamp_min": 0.3, "clamp_max": 0.75},
    ],
)
def test_equals_the_plain_rules(
    settings: dict[str, float], max_range: float, discretize: bool, name: str
) -> None:
    config = MapperConfig.from_mapping(
        {"engine": name, "max_range": max_range, "discretize": discretize, **settings}
    )
    made, plain = OccupancyMap(config), PlainTree(config.resolution)
    for cloud, origin in scans(seed=7):
        assert made.insert_points(cloud, origin) == plain.insert(cloud, origin, config)
    assert len(made.leaves()) > 100
    assert_same(made.leaves(), plain.leaves())


CAMERA = CameraIntrinsics(24, 18, fx=20.0, fy=21.0, cx=11.2, cy=9.5)


def depth_image(seed: int) -> Float32Array:
    """A slanted wall with a step, holes and noise."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:18, 0:24]
    depth = 1.0 + 0.02 * u + 0.6 * (v > 9) + rng.normal(0.0, 0.01, (18, 24))
    depth[rng.random((18, 24)) < 0.1] = np.nan
    depth[0, :4] = [0.0, np.inf, -1.0, 1e30]
    return depth.astype(np.float32)


def camera_pose(seed: int) -> RigidTransform:
    rng = np.random.default_rng(seed)
    x, y, z, w = (float(v) for v in rng.normal(size=4))
    tx, ty, tz = (float(v) for v in rng.uniform(-1, 1, 3))
    return RigidTransform.from_quaternion((tx, ty, tz), (x, y, z, w))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("discretize", [False, True])
@pytest.mark.parametrize(
    ("max_range", "min_range", "stride"), [(-1.0, 0.0, 1), (1.4, 0.0, 1), (1.4, 1.1, 1), (2, 1, 3)]
)
def test_depth_images_equal_the_plain_rules(
    max_range: float, min_range: float, stride: int, discretize: bool, name: str
) -> None:
    config = MapperConfig(
        engine=name,
        resolution=0.08,
        max_range=max_range,
        min_range=min_range,
        depth_stride=stride,
        discretize=discretize,
    )
    made, plain = OccupancyMap(config), OccupancyMap(config, PlainTree(0.08))
    for seed in range(3):
        scan = (depth_image(seed), CAMERA, camera_pose(seed))
        report = made.integrate_depth(*scan)
        assert report == plain.integrate_depth(*scan)
        assert report.used > 20
    assert_same(made.leaves(), plain.leaves())


def test_clearing_points_mark_nothing() -> None:
    for discretize in (False, True):
        config = MapperConfig(resolution=0.1, max_range=0.9, discretize=discretize)
        made, plain = OccupancyMap(config), PlainTree(0.1)
        for cloud, origin in scans(11):
            report = made.insert_points(cloud[:60], origin, cloud[60:])
            assert report == plain.insert(cloud[:60], origin, config, cloud[60:])
        assert_same(made.leaves(), plain.leaves())
        only_clearing = OccupancyMap(config)
        only_clearing.insert_points(cloud[:0], origin, cloud)
        assert len(only_clearing.leaves()) > 50
        assert not only_clearing.leaves().occupied.any()


def test_octomap_refuses_points_that_only_clear() -> None:
    made = OccupancyMap(MapperConfig(engine="octomap"))
    cloud, origin = scans(11)[0]
    with pytest.raises(MapError, match=r"cannot take points that only clear.* engine 'voxel'"):
        made.insert_points(cloud[:60], origin, cloud[60:])
    assert len(made.leaves()) == 0


@pytest.mark.parametrize("forget", [False, True])
def test_cleared_boxes_are_the_same_in_each(forget: bool) -> None:
    maps = [OccupancyMap(MapperConfig(engine=name, resolution=0.1)) for name in ENGINES]
    maps.append(OccupancyMap(MapperConfig(resolution=0.1), PlainTree(0.1)))
    for cloud, origin in scans(12):
        for made in maps:
            made.insert_points(cloud, origin)
            made.clear_box(
                np.float32([-0.8, -0.2, -0.7]), np.float32([1.1, 1.7, 0.2]), forget=forget
            )
        assert_same(maps[0].leaves(), maps[1].leaves())
        assert_same(maps[0].leaves(), maps[2].leaves())
        assert maps[0].full_payload() == maps[1].full_payload()


def test_a_map_made_with_other_limits_goes_on_as_octomap_does() -> None:
    maker = OccupancyMap(MapperConfig(resolution=0.1, clamp_min=0.01, clamp_max=0.995))
    cloud, origin = scans(13)[0]
    for _ in range(12):
        maker.insert_points(cloud, origin)
    config = MapperConfig(resolution=0.1)
    tree, plain = OctomapTree(0.1), PlainTree(0.1)
    made = OccupancyMap(config)
    with made.blocks() as store:
        store.restore(maker.leaves())
    tree.restore(maker.full_payload())
    plain.restore(maker.full_payload())
    for other, position in scans(14):
        made.insert_points(other, position)
        tree.insert(other, position, config)
        plain.insert(other, position, config)
    assert_same(made.leaves(), tree.leaves())
    assert_same(made.leaves(), plain.leaves())


@pytest.fixture(params=[*ENGINES, "plain"])
def made(request: pytest.FixtureRequest) -> OccupancyMap:
    """A map of each kind with the default settings."""
    return empty_map(request.param)


def empty_map(kind: str, **values: Any) -> OccupancyMap:
    engine = "voxel" if kind == "plain" else kind
    config = MapperConfig(**{"engine": engine, "max_range": -1.0, **values})
    return OccupancyMap(config, PlainTree(config.resolution) if kind == "plain" else None)


def test_starts_empty_and_resets(made: OccupancyMap) -> None:
    assert len(made.leaves()) == 0
    made.insert_points(*scans(0)[0])
    assert len(made.leaves()) > 0
    made.reset()
    assert len(made.leaves()) == 0
    made.insert_points(*scans(0)[0])
    assert len(made.leaves()) > 0


def test_an_empty_scan_changes_nothing(made: OccupancyMap) -> None:
    report = made.insert_points(np.zeros((0, 3), np.float32), np.zeros(3, np.float32))
    assert (report.points, report.used) == (0, 0)
    assert len(made.leaves()) == 0


def test_one_ray_clears_up_to_its_hit(made: OccupancyMap) -> None:
    origin = np.full(3, 0.025, np.float32)
    made.insert_points(origin + np.array([[0.2, 0, 0]], np.float32), origin)
    leaves = made.leaves()
    assert leaves.keys[:, 0].tolist() == [32768, 32769, 32770, 32771, 32772]
    expected = [log_odds(0.4)] * 4 + [log_odds(0.7)]
    assert leaves.log_odds.tolist() == expected


def test_values_stay_within_the_clamps(made: OccupancyMap) -> None:
    cloud, origin = np.array([[0.5, 0, 0]], np.float32), np.zeros(3, np.float32)
    for _ in range(20):
        made.insert_points(cloud, origin)
    values = made.leaves().log_odds
    assert values.min() == log_odds(0.1192)
    assert values.max() == log_odds(0.971)


@pytest.mark.parametrize("kind", [*ENGINES, "plain"])
@pytest.mark.parametrize("discretize", [False, True])
def test_points_that_no_map_can_hold_are_counted(kind: str, discretize: bool) -> None:
    made = empty_map(kind, discretize=discretize)
    good = np.array([[1.0, 0, 0]], np.float32)
    bad = np.array(
        [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf], [2000.0, 0, 0], [0, -1e30, 0]], np.float32
    )
    origin = np.zeros(3, np.float32)
    report = made.insert_points(np.concatenate([good, bad]), origin)
    assert (report.points, report.not_finite, report.outside, report.used) == (6, 3, 2, 1)
    clean = PlainTree(made.config.resolution)
    clean.insert(good, origin, made.config)
    assert_same(made.leaves(), clean.leaves())


@pytest.mark.parametrize("kind", [*ENGINES, "plain"])
def test_a_point_off_the_map_still_clears_up_to_max_range(kind: str) -> None:
    made = empty_map(kind, max_range=0.98)
    report = made.insert_points(np.array([[5000.0, 0, 0]], np.float32), np.zeros(3, np.float32))
    assert report.outside == 0
    leaves = made.leaves()
    assert not leaves.occupied.any()
    assert leaves.finest().keys[:, 0].tolist() == list(range(32768, 32787))


@pytest.mark.parametrize("position", [2000.0, math.nan])
def test_a_sensor_off_the_map_is_an_error(made: OccupancyMap, position: float) -> None:
    origin = np.array([0, position, 0], np.float32)
    with pytest.raises(MapError, match=r"the sensor is at .* from -1638\.4 to 1638\.4 m"):
        made.insert_points(np.zeros((1, 3), np.float32), origin)
    assert len(made.leaves()) == 0


def test_restoring_gives_the_same_map_and_goes_on_alike() -> None:
    first, second, third = scans(5)
    config = MapperConfig()
    trees = [OctomapTree(config.resolution), PlainTree(config.resolution)]
    made = OccupancyMap(config)
    for scan in (first, second):
        made.insert_points(*scan)
    for tree in trees:
        tree.restore(made.full_payload())
        assert_same(tree.leaves(), made.leaves())
    made.insert_points(*third)
    for tree in trees:
        tree.insert(*third, config)
        assert_same(tree.leaves(), made.leaves())


def test_exporting_does_not_change_the_tree() -> None:
    config = MapperConfig()
    tree, undisturbed = OctomapTree(config.resolution), OctomapTree(config.resolution)
    for scan in scans(6)[:2]:
        tree.insert(*scan, config)
        tree.leaves()
        undisturbed.insert(*scan, config)
    assert_same(tree.leaves(), undisturbed.leaves())


def test_equals_octomap_on_clouds_that_need_no_filter() -> None:
    """The filter must not touch what OctoMap itself would have used."""
    tree: Any = octomap.OcTree(0.05)
    plain = PlainTree(0.05)
    cloud, origin = scans(9)[0]
    cloud[30:40] *= np.float32(1e6)  # far off the map: cut to max_range
    tree.insertPointCloud(cloud.astype(np.float64), origin.astype(np.float64), maxrange=0.8)
    plain.insert(cloud, origin, MapperConfig(resolution=0.05, max_range=0.8))
    finest = plain.leaves().finest()
    keys = map(tuple, finest.keys.tolist())
    mine = dict(zip(keys, finest.log_odds.tolist(), strict=True))
    theirs = {}
    for leaf in tree.begin_leafs():
        key, span = leaf.getIndexKey(), 1 << (16 - leaf.getDepth())
        for x, y, z in np.ndindex(span, span, span):
            theirs[(key[0] + x, key[1] + y, key[2] + z)] = leaf.getValue()
    assert mine == theirs


def test_usable_points_does_not_copy_a_clean_cloud() -> None:
    cloud, origin = scans(1)[0]
    usable, report = usable_points(cloud, origin, MapperConfig())
    assert usable is cloud
    assert report.used == len(cloud)


def test_without_octomap_python_the_error_names_the_remedy() -> None:
    """In a fresh interpreter where the module cannot be found; the map alone does not need it."""
    script = (
        "import sys; sys.modules['octomap'] = None\n"
        "from cnn_perception.config import MapperConfig\n"
        "from cnn_perception.errors import MapError\n"
        "from cnn_perception.mapping.occupancy_map import OccupancyMap\n"
        "OccupancyMap(MapperConfig())\n"
        "try:\n"
        "    OccupancyMap(MapperConfig(engine='octomap'))\n"
        "except MapError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "octomap-python is not installed, which the mapping engine 'octomap' and benchmarks "
        "against it need: pip install octomap-python, or use the engine 'voxel'"
    ]
