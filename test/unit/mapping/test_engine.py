"""Engines against the plain reference: no key and no bit of a log-odds may differ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.engine import MapEngine, create_engine, log_odds, usable_points
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.reference import ReferenceEngine
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

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
def test_equals_the_reference(
    settings: dict[str, float], max_range: float, discretize: bool, name: str
) -> None:
    config = MapperConfig.from_mapping({"engine": name, **settings})
    engine, reference = create_engine(config), ReferenceEngine(config)
    for cloud, origin in scans(seed=7):
        assert engine.integrate(cloud, origin, max_range, discretize) == reference.integrate(
            cloud, origin, max_range, discretize
        )
    assert len(engine.leaves()) > 100
    assert_same(engine.leaves(), reference.leaves())


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
def test_depth_images_equal_the_reference(
    max_range: float, min_range: float, stride: int, discretize: bool, name: str
) -> None:
    config = MapperConfig(engine=name, resolution=0.08)
    engine, reference = create_engine(config), ReferenceEngine(config)
    for seed in range(3):
        reports = [
            each.integrate_depth(
                depth_image(seed),
                CAMERA,
                camera_pose(seed),
                max_range=max_range,
                discretize=discretize,
                min_range=min_range,
                stride=stride,
            )
            for each in (engine, reference)
        ]
        assert reports[0] == reports[1]
        assert reports[0].used > 20
    assert_same(engine.leaves(), reference.leaves())


def test_clearing_points_mark_nothing() -> None:
    config = MapperConfig(resolution=0.1)
    for discretize in (False, True):
        engine, reference = create_engine(config), ReferenceEngine(config)
        for cloud, origin in scans(11):
            reports = [
                each.integrate(cloud[:60], origin, 0.9, discretize, clearing=cloud[60:])
                for each in (engine, reference)
            ]
            assert reports[0] == reports[1]
        assert_same(engine.leaves(), reference.leaves())
        only_clearing = create_engine(config)
        only_clearing.integrate(cloud[:0], origin, 0.9, discretize, clearing=cloud)
        assert len(only_clearing.leaves()) > 50
        assert not only_clearing.leaves().occupied.any()


@pytest.mark.parametrize("value", [-1.5, math.nan])
def test_boxes_are_filled_and_kept(engine: MapEngine, value: float) -> None:
    for cloud, origin in scans(12):
        engine.integrate(cloud, origin, -1.0, False)
    before = engine.leaves().finest()
    low, high = np.array([32760, 32766, 32761]), np.array([32779, 32785, 32770])
    inside = ((before.keys >= low) & (before.keys <= high)).all(axis=1)
    assert 50 < np.count_nonzero(inside) < len(before)
    engine.fill_box(low, high, value)
    after = engine.leaves().finest()
    if math.isnan(value):
        assert_same(after, before.select(~inside))
    else:
        changed = np.where(inside, np.float32(value), before.log_odds)
        assert_same(after, Leaves(before.keys, before.depths, changed))
    engine.keep_box(low, high)
    kept = engine.leaves().finest()
    assert ((kept.keys > low - 8) & (kept.keys < high + 8)).all()
    assert np.isin(
        [
            hash(tuple(key))
            for key in after.keys[((after.keys >= low) & (after.keys <= high)).all(1)]
        ],
        [hash(tuple(key)) for key in kept.keys],
    ).all()


def test_a_map_made_with_other_limits_goes_on_as_octomap_does() -> None:
    wide = MapperConfig(resolution=0.1, clamp_min=0.01, clamp_max=0.995)
    maker = create_engine(wide)
    cloud, origin = scans(13)[0]
    for _ in range(12):
        maker.integrate(cloud, origin, -1.0, False)
    engines = [
        *(create_engine(MapperConfig(engine=name, resolution=0.1)) for name in ENGINES),
        ReferenceEngine(MapperConfig(resolution=0.1)),
    ]
    for engine in engines:
        engine.restore(maker.leaves())
        for other, position in scans(14):
            engine.integrate(other, position, -1.0, False)
    assert_same(engines[0].leaves(), engines[1].leaves())
    assert_same(engines[0].leaves(), engines[2].leaves())


@pytest.fixture(params=[*ENGINES, "reference"])
def engine(request: pytest.FixtureRequest) -> MapEngine:
    """Each engine with the default settings."""
    if request.param == "reference":
        return ReferenceEngine(MapperConfig())
    return create_engine(MapperConfig(engine=request.param))


def test_starts_empty_and_clears(engine: MapEngine) -> None:
    assert len(engine.leaves()) == 0
    engine.integrate(*scans(0)[0], -1.0, False)
    assert len(engine.leaves()) > 0
    engine.clear()
    assert len(engine.leaves()) == 0


def test_an_empty_scan_changes_nothing(engine: MapEngine) -> None:
    report = engine.integrate(np.zeros((0, 3), np.float32), np.zeros(3, np.float32), 5.0, False)
    assert (report.points, report.used) == (0, 0)
    assert len(engine.leaves()) == 0


def test_one_ray_clears_up_to_its_hit(engine: MapEngine) -> None:
    origin = np.full(3, 0.025, np.float32)
    engine.integrate(origin + np.array([[0.2, 0, 0]], np.float32), origin, -1.0, False)
    leaves = engine.leaves()
    assert leaves.keys[:, 0].tolist() == [32768, 32769, 32770, 32771, 32772]
    expected = [log_odds(0.4)] * 4 + [log_odds(0.7)]
    assert leaves.log_odds.tolist() == expected


def test_values_stay_within_the_clamps(engine: MapEngine) -> None:
    cloud, origin = np.array([[0.5, 0, 0]], np.float32), np.zeros(3, np.float32)
    for _ in range(20):
        engine.integrate(cloud, origin, -1.0, False)
    values = engine.leaves().log_odds
    assert values.min() == log_odds(0.1192)
    assert values.max() == log_odds(0.971)


@pytest.mark.parametrize("discretize", [False, True])
def test_points_that_no_map_can_hold_are_counted(engine: MapEngine, discretize: bool) -> None:
    good = np.array([[1.0, 0, 0]], np.float32)
    bad = np.array(
        [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf], [2000.0, 0, 0], [0, -1e30, 0]], np.float32
    )
    origin = np.zeros(3, np.float32)
    report = engine.integrate(np.concatenate([good, bad]), origin, -1.0, discretize)
    assert (report.points, report.not_finite, report.outside, report.used) == (6, 3, 2, 1)
    clean = ReferenceEngine(MapperConfig())
    clean.integrate(good, origin, -1.0, discretize)
    assert_same(engine.leaves(), clean.leaves())


def test_a_point_off_the_map_still_clears_up_to_max_range(engine: MapEngine) -> None:
    origin = np.zeros(3, np.float32)
    report = engine.integrate(np.array([[5000.0, 0, 0]], np.float32), origin, 0.98, False)
    assert report.outside == 0
    leaves = engine.leaves()
    assert not leaves.occupied.any()
    assert leaves.finest().keys[:, 0].tolist() == list(range(32768, 32787))


@pytest.mark.parametrize("position", [2000.0, math.nan])
def test_a_sensor_off_the_map_is_an_error(engine: MapEngine, position: float) -> None:
    origin = np.array([0, position, 0], np.float32)
    with pytest.raises(MapError, match=r"the sensor is at .* from -1638\.4 to 1638\.4 m"):
        engine.integrate(np.zeros((1, 3), np.float32), origin, -1.0, False)


def test_restoring_gives_the_same_map_and_goes_on_alike(engine: MapEngine) -> None:
    first, second, third = scans(5)
    engine.integrate(*first, -1.0, False)
    engine.integrate(*second, -1.0, False)
    other = ReferenceEngine(MapperConfig())
    other.restore(engine.leaves())
    engine.restore(engine.leaves())
    for each in (engine, other):
        each.integrate(*third, -1.0, False)
    assert_same(engine.leaves(), other.leaves())


@pytest.mark.parametrize("name", ENGINES)
def test_exporting_does_not_change_the_map(name: str) -> None:
    engine = create_engine(MapperConfig(engine=name))
    first, second, _ = scans(6)
    undisturbed = create_engine(MapperConfig(engine=name))
    for cloud, origin in (first, second):
        engine.integrate(cloud, origin, -1.0, False)
        engine.leaves()
        undisturbed.integrate(cloud, origin, -1.0, False)
    assert_same(engine.leaves(), undisturbed.leaves())


def test_equals_octomap_on_clouds_that_need_no_filter() -> None:
    """The engine's filter must not touch what OctoMap itself would have used."""
    tree: Any = octomap.OcTree(0.05)
    engine = ReferenceEngine(MapperConfig(resolution=0.05))
    cloud, origin = scans(9)[0]
    cloud[30:40] *= np.float32(1e6)  # far off the map: cut to max_range
    tree.insertPointCloud(cloud.astype(np.float64), origin.astype(np.float64), maxrange=0.8)
    engine.integrate(cloud, origin, 0.8, False)
    finest = engine.leaves().finest()
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
    usable, report = usable_points(cloud, origin, 0.05, -1.0, False)
    assert usable is cloud
    assert report.used == len(cloud)
