"""Mapper: what goes in, what comes out, what may change while it lives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError, MapError
from cnn_perception.mapping.engine import log_odds
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.mapping.reference import ReferenceEngine
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

CAMERA = CameraIntrinsics(16, 12, fx=12.0, fy=12.0, cx=7.5, cy=5.5)
# The optical frame (z forward) in a map whose x is forward and z up (REP-103).
MAP_FROM_OPTICAL = RigidTransform(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.0, 0.0, 1.0])
)


def wall(distance: float = 2.0) -> Float32Array:
    return np.full((12, 16), distance, np.float32)


def mapper(**values: float | bool | str) -> Mapper:
    """A mapper on the reference engine, so that these tests need no OctoMap."""
    config = MapperConfig.from_mapping({"resolution": 0.1} | values)
    return Mapper(config, ReferenceEngine(config))


def test_a_wall_in_front_of_the_camera_is_mapped() -> None:
    made = mapper()
    report = made.integrate_depth(wall(2.05), CAMERA, MAP_FROM_OPTICAL)
    assert report.used == 12 * 16
    occupied, free = made.occupied_cells(), made.free_cells()
    np.testing.assert_allclose(occupied.centers[:, 0], 2.05, atol=1e-6)
    ahead = np.abs(free.centers[:, 1]) < 0.4
    assert free.centers[ahead, 0].max() < 2.0
    np.testing.assert_allclose(occupied.centers[:, 2].mean(), 1.0, atol=0.1)
    statistics = made.statistics()
    assert statistics.occupied == len(occupied)
    assert statistics.free >= len(free) > 0
    assert statistics.resolution == 0.1


def test_depth_and_cloud_give_the_same_map() -> None:
    by_depth, by_cloud = mapper(), mapper()
    by_depth.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    v, u = np.mgrid[0:12, 0:16]
    cloud = np.stack([(u - 7.5) / 12 * 2, (v - 5.5) / 12 * 2, wall()], axis=-1)
    by_cloud.integrate_cloud(cloud.reshape(-1, 3).astype(np.float32), MAP_FROM_OPTICAL)
    assert by_depth.full_payload() == by_cloud.full_payload()


def test_readings_without_value_are_left_out() -> None:
    made = mapper()
    depth = wall()
    depth[0] = np.nan
    assert made.integrate_depth(depth, CAMERA, MAP_FROM_OPTICAL).points == 11 * 16
    cloud = np.array([[np.nan, 0, 1], [0, 0, 1]], np.float32)
    assert made.integrate_cloud(cloud, MAP_FROM_OPTICAL).not_finite == 1


def test_near_readings_are_ignored() -> None:
    made = mapper(min_range=2.9)
    assert made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL).points == 0
    cloud = np.array([[0, 0, 1], [0, 0, 3]], np.float32)
    assert made.integrate_cloud(cloud, MAP_FROM_OPTICAL).points == 1


def test_far_readings_clear_only() -> None:
    made = mapper(max_range=1.0)
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    assert len(made.occupied_cells()) == 0
    assert len(made.free_cells()) > 0


def test_a_stride_uses_fewer_rays() -> None:
    made = mapper(depth_stride=4)
    assert made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL).points == 12


def test_output_is_cropped_by_height() -> None:
    made = mapper()
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    everything = len(made.occupied_cells())
    made.config = dataclasses.replace(made.config, occupancy_min_z=1.0, occupancy_max_z=1.2)
    cells = made.occupied_cells()
    assert 0 < len(cells) < everything
    assert (cells.centers[:, 2] > 0.9).all()
    assert (cells.centers[:, 2] < 1.3).all()
    cropped = made.projected_map()
    made.config = dataclasses.replace(made.config, occupancy_min_z=50.0, occupancy_max_z=60.0)
    assert len(made.occupied_cells()) == 0
    assert made.projected_map().cells.size == 0
    assert (cropped.cells == 100).any()


def test_the_grid_shows_the_wall() -> None:
    made = mapper()
    made.integrate_depth(wall(2.05), CAMERA, MAP_FROM_OPTICAL)
    grid = made.projected_map()
    _, columns = np.nonzero(grid.cells == 100)
    np.testing.assert_allclose(grid.origin[0] + (columns + 0.5) * 0.1, 2.05, atol=1e-6)


def test_reset_forgets() -> None:
    made = mapper()
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    made.reset()
    assert made.binary_payload() == made.full_payload() == b""
    assert len(made.occupied_cells()) == len(made.free_cells()) == 0


def test_a_cleared_box_is_free_and_no_more() -> None:
    made = mapper()
    made.integrate_depth(wall(2.05), CAMERA, MAP_FROM_OPTICAL)
    before = made.statistics()
    made.clear_box(np.array([1.9, 0, -5], np.float32), np.array([2.2, 5, 5], np.float32))
    after = made.statistics()
    assert after.occupied + after.free == before.occupied + before.free
    assert 0 < after.occupied < before.occupied
    assert (made.occupied_cells().centers[:, 1] < 0).all()
    assert made.leaves().log_odds.min() == log_odds(0.1192)


@pytest.mark.parametrize("corner", [-1.0, np.nan, np.inf])
def test_a_box_upside_down_is_refused(corner: float) -> None:
    with pytest.raises(MapError, match="cannot clear the box"):
        mapper().clear_box(np.zeros(3, np.float32), np.full(3, corner, np.float32))


def test_a_saved_map_goes_on_where_it_stopped(tmp_path: Path) -> None:
    made = mapper()
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    made.save(tmp_path / "map.ot")
    continued = mapper()
    continued.load(tmp_path / "map.ot")
    for each in (made, continued):
        each.integrate_depth(wall(2.4), CAMERA, MAP_FROM_OPTICAL)
    assert continued.full_payload() == made.full_payload()


def test_a_map_is_continued_in_its_own_resolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = mapper(resolution=0.2)
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    made.save(tmp_path / "map.ot")
    config = MapperConfig(resolution=0.1, max_range=3.0)
    continued = Mapper.continued("~/map.ot", config)
    assert continued.config == dataclasses.replace(config, resolution=0.2)
    assert continued.full_payload() == made.full_payload()
    empty = Mapper.continued("", config)
    assert (empty.config, len(empty.leaves())) == (config, 0)
    with pytest.raises(MapError, match=r"none\.bt"):
        Mapper.continued(str(tmp_path / "none.bt"), config)


def test_a_loaded_binary_map_is_certain(tmp_path: Path) -> None:
    made = mapper()
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    made.save(tmp_path / "map.bt")
    loaded = mapper()
    loaded.load(tmp_path / "map.bt")
    assert set(loaded.leaves().log_odds) == {log_odds(0.1192), log_odds(0.971)}
    assert loaded.binary_payload() == made.binary_payload()


def test_a_map_of_another_resolution_is_refused(tmp_path: Path) -> None:
    mapper(resolution=0.2).save(tmp_path / "map.bt")
    with pytest.raises(MapError, match=r"has resolution 0\.2 m, the mapper 0\.1 m"):
        mapper().load(tmp_path / "map.bt")


def test_live_settings_change_and_others_do_not() -> None:
    made = mapper()
    made.config = dataclasses.replace(made.config, max_range=1.0)
    assert made.config.max_range == 1.0
    with pytest.raises(ConfigError, match=r"resolution cannot change from 0\.1 to 0\.2"):
        made.config = dataclasses.replace(made.config, resolution=0.2)
    assert made.config.resolution == 0.1


def test_payloads_are_the_data_sections_of_the_files(tmp_path: Path) -> None:
    made = mapper()
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    for suffix, payload in ((".bt", made.binary_payload()), (".ot", made.full_payload())):
        made.save(tmp_path / f"map{suffix}")
        assert (tmp_path / f"map{suffix}").read_bytes().endswith(b"\ndata\n" + payload)
    decoded = octomap_codec.decode_full(made.full_payload())
    np.testing.assert_array_equal(decoded.log_odds, made.leaves().log_odds)


def test_real_frames_equal_octomap(shared_data: Path) -> None:
    """Two real depth images, through the default engine and through the reference."""
    pytest.importorskip("octomap", reason="octomap-python is not installed")
    folder = shared_data / "data" / "kitchen_rgbd"
    camera = CameraIntrinsics(80, 60, fx=73.125, fy=73.125, cx=39.5625, cy=29.5625)
    config = MapperConfig(resolution=0.1, max_range=3.0)
    engines = [Mapper(config), Mapper(config, ReferenceEngine(config))]
    for number in (0, 100):
        stem = str(folder / f"frame-{number:06d}")
        raw = cv2.imread(f"{stem}.depth.png", cv2.IMREAD_UNCHANGED)
        assert raw is not None
        depth = (raw[::8, ::8] / 1000).astype(np.float32)
        pose = RigidTransform.from_matrix(np.loadtxt(f"{stem}.pose.txt"))
        for each in engines:
            each.integrate_depth(depth, camera, pose)
    assert engines[0].statistics().occupied > 300
    assert engines[0].full_payload() == engines[1].full_payload()
    assert engines[0].binary_payload() == engines[1].binary_payload()
