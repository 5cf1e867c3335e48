"""What enters the map: the short way of depth images must lead to the same map as the long one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.crop import CropConfig
from cnn_perception.mapping.ground import GroundConfig
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.scan_filter import ScanFilter
from cnn_perception.mapping.scans import CloudScan, DepthScan
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS
from cnn_perception.types import CameraIntrinsics, RigidTransform

SECOND_NS = 1_000_000_000
CAMERA = CameraIntrinsics(40, 30, 35.0, 36.0, 20.5, 14.0)
# The camera looks along +x of the map, from 1 m above the floor.
POSE = RigidTransform(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.0, 0.0, 1.0])
)


def depth(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0.5, 6.0, (30, 40)).astype(np.float32)
    image[rng.random(image.shape) < 0.2] = np.nan
    image[0, 0], image[0, 1], image[0, 2] = np.inf, 0.0, -1.0
    return image


def mapped(crop: CropConfig, ground: GroundConfig | None = None, **values: Any) -> OccupancyMap:
    mapper = OccupancyMap(MapperConfig(resolution=0.1, **values))
    scans = ScanFilter(mapper, crop, ground or GroundConfig())
    scans.integrate(DepthScan(depth(), CAMERA, POSE), 0, POSE)
    return mapper


def same(one: OccupancyMap, other: OccupancyMap) -> bool:
    return one.full_payload() == other.full_payload()


@pytest.mark.parametrize(
    "values", [{}, {"depth_stride": 2}, {"min_range": 1.5}, {"max_range": 3.0}]
)
def test_images_that_no_crop_can_cut_go_the_short_way_to_the_same_map(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = OccupancyMap(MapperConfig(resolution=0.1, **values))
    direct.integrate_depth(depth(), CAMERA, POSE)
    long_way = mapped(CropConfig(max_x=50.0, min_x=-0.1), **values)
    assert same(long_way, direct)

    def never(*_: Any) -> None:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(OccupancyMap, "integrate_cloud", never)
    assert same(mapped(CropConfig(), **values), direct)
    assert same(mapped(CropConfig(max_x=50.0), **values), direct)


@pytest.mark.parametrize("axis", range(3))
def test_a_crop_that_can_cut_does(axis: int) -> None:
    limit = {f"max_{'xyz'[axis]}": 1.2}
    cropped = mapped(CropConfig(**limit))
    points = POSE.apply(depth_to_points(depth(), CAMERA))
    kept = points[points[:, axis] <= np.float32(1.2)]
    assert 0 < len(kept) < len(points)
    expected = OccupancyMap(MapperConfig(resolution=0.1))
    expected.integrate_cloud(
        kept - np.float32([0, 0, 1]), RigidTransform(np.eye(3), POSE.translation)
    )
    ends = cropped.occupied_cells().centers
    assert ends[:, axis].max() < 1.3
    assert len(ends) == len(expected.occupied_cells())


def test_ground_points_clear_and_mark_nothing() -> None:
    rng = np.random.default_rng(1)
    floor = np.column_stack([rng.uniform(-2, 2, (500, 2)), np.full(500, -0.95)])
    wall = np.column_stack(
        [np.full(100, 1.95), rng.uniform(-1, 1, 100), rng.uniform(-0.7, 0.5, 100)]
    )
    points = np.concatenate([floor, wall]).astype(np.float32)
    pose = RigidTransform(np.eye(3), np.array([0.0, 0.0, 1.0]))
    base_from_sensor = RigidTransform(np.eye(3), np.array([0.0, 0.0, 0.95]))
    mapper = OccupancyMap(MapperConfig(resolution=0.1))
    filtered = ScanFilter(mapper, CropConfig(), GroundConfig(filter_ground_plane=True))
    assert filtered.needs_base
    filtered.integrate(CloudScan(points, pose), 0, base_from_sensor)
    expected = OccupancyMap(MapperConfig(resolution=0.1))
    expected.integrate_cloud(points[500:], pose, clearing=points[:500])
    assert same(mapper, expected)
    assert mapper.occupied_cells().centers[:, 2].min() > 0.2
    without = OccupancyMap(MapperConfig(resolution=0.1))
    ScanFilter(without, CropConfig(), GroundConfig()).integrate(CloudScan(points, pose), 0)
    assert without.occupied_cells().centers[:, 2].min() < 0.1


def test_the_crop_is_of_the_base_frame_with_the_ground_filter() -> None:
    points = np.float32([[1.05, 0.05, 0.05], [1.05, 0.05, 1.55]])
    pose = RigidTransform(np.eye(3), np.array([0.0, 0.0, 5.0]))
    base_from_sensor = RigidTransform.identity()
    crop = CropConfig(max_z=1.0)
    heights = {}
    for filter_ground in (True, False):
        mapper = OccupancyMap(MapperConfig(resolution=0.1))
        ground = GroundConfig(filter_ground_plane=filter_ground)
        base = base_from_sensor if filter_ground else None
        ScanFilter(mapper, crop, ground).integrate(CloudScan(points, pose), 0, base)
        heights[filter_ground] = mapper.occupied_cells().centers[:, 2].tolist()
    assert heights == {True: pytest.approx([5.05]), False: []}


def test_points_that_are_not_finite_are_outside() -> None:
    points = np.float32([[np.inf, 0, 0], [np.nan, 0, 0], [3e38, 3e38, 3e38], [1.05, 0.05, 0.05]])
    mapper = OccupancyMap(MapperConfig(resolution=0.1))
    scan = CloudScan(points, RigidTransform.identity())
    ScanFilter(mapper, CropConfig(), GroundConfig()).integrate(scan, 0)
    assert len(mapper.occupied_cells()) == 1


def test_what_is_later_than_a_stamp_is_told_once() -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.1))
    scans = ScanFilter(mapper, CropConfig(), GroundConfig())
    assert not scans.rewind(0)
    cloud = CloudScan(np.float32([[1.05, 0.05, 0.05]]), POSE)
    for seconds, scan in ((7, DepthScan(depth(), CAMERA, POSE)), (9, cloud), (8, cloud)):
        scans.integrate(scan, seconds * SECOND_NS)
    # Two cameras, or messages reordered: no more than 0.1 s is no jump.
    assert not scans.rewind(9 * SECOND_NS - BACKWARD_JUMP_NS)
    assert scans.rewind(9 * SECOND_NS - BACKWARD_JUMP_NS - 1)
    assert not scans.rewind(0)
    scans.integrate(cloud, SECOND_NS)
    assert not scans.rewind(SECOND_NS)
    assert scans.rewind(0)


def test_a_scan_that_is_off_the_map_is_not_in_it() -> None:
    scans = ScanFilter(OccupancyMap(MapperConfig(resolution=0.1)), CropConfig(), GroundConfig())
    far = RigidTransform(np.eye(3), np.array([1e6, 0.0, 0.0]))
    for scan in (DepthScan(depth(), CAMERA, far), CloudScan(np.zeros((1, 3), np.float32), far)):
        with pytest.raises(MapError):
            scans.integrate(scan, 9 * SECOND_NS)
    assert not scans.rewind(0)
