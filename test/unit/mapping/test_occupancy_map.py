"""OccupancyMap: what goes in, what comes out, what may change while it lives."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError, MapError
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.sensor_model import log_odds
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform
from plain_octomap import PlainTree

CAMERA = CameraIntrinsics(16, 12, fx=12.0, fy=12.0, cx=7.5, cy=5.5)
# The optical frame (z forward) in a map whose x is forward and z up (REP-103).
MAP_FROM_OPTICAL = RigidTransform(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.0, 0.0, 1.0])
)


def wall(distance: float = 2.0) -> Float32Array:
    return np.full((12, 16), distance, np.float32)


def mapper(**values: float | bool | str) -> OccupancyMap:
    return OccupancyMap(MapperConfig.from_mapping({"resolution": 0.1} | values))


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
    continued = OccupancyMap.continued("~/map.ot", config)
    assert continued.config == dataclasses.replace(config, resolution=0.2)
    assert continued.full_payload() == made.full_payload()
    empty = OccupancyMap.continued("", config)
    assert (empty.config, len(empty.leaves())) == (config, 0)
    with pytest.raises(MapError, match=r"none\.bt"):
        OccupancyMap.continued(str(tmp_path / "none.bt"), config)


def test_a_loaded_binary_map_is_certain(tmp_path: Path) -> None:
    made = mapper()
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    made.save(tmp_path / "map.bt")
    loaded = mapper()
    loaded.load(tmp_path / "map.bt")
    assert set(loaded.leaves().log_odds) == {log_odds(0.1192), log_odds(0.971)}
    assert loaded.binary_payload() == made.binary_payload()


def spoiled(kind: str, path: Path) -> Path:
    """Write a map file that cannot be loaded by a map with cells of 0.1 m."""
    other = mapper(resolution=0.2 if kind == "resolution" else 0.1)
    other.integrate_depth(wall(1.2), CAMERA, MAP_FROM_OPTICAL)
    path = path / ("bad.vox" if kind == "bit" else "bad.ot")
    other.save(path)
    content = bytearray(path.read_bytes())
    if kind == "bit":
        content[-1] ^= 1
    elif kind == "cut":
        del content[-7:]
    elif kind == "cube":  # a root that is one leaf: all that a map can hold
        root = np.array([(0.5, 0)], octomap_codec.NODE).tobytes()
        content = bytearray(octomap_codec.wrap(root, 0.1, binary=False))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("engine", ["voxel", "octomap", "plain"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "No such file"),
        ("resolution", r"has resolution 0\.2 m, the mapper 0\.1 m"),
        ("bit", "checksum"),
        ("cut", "cut off|five for each node"),
        ("cube", "blocks of 8 x 8 x 8 cells"),
        ("blocks", "blocks of 8 x 8 x 8 cells"),
    ],
)
def test_a_refused_load_leaves_the_map_as_it_was(
    engine: str, kind: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "octomap":
        pytest.importorskip("octomap", reason="octomap-python is not installed")
    config = MapperConfig(resolution=0.1, engine="voxel" if engine == "plain" else engine)
    made, untouched = (
        OccupancyMap(config, PlainTree(0.1) if engine == "plain" else None) for _ in range(2)
    )
    for each in (made, untouched):
        each.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    path = spoiled(kind, tmp_path)
    if kind == "missing":
        path.unlink()
    if kind == "blocks":
        module = "cnn_perception.mapping.voxels.voxel_store"
        monkeypatch.setattr(f"{module}._FIRST_BLOCKS", 1)
        monkeypatch.setattr(f"{module}._MOST_BLOCKS", 2)
    with pytest.raises(MapError, match=reason):
        made.load(path)
    monkeypatch.undo()
    assert made.full_payload() == untouched.full_payload()
    for each in (made, untouched):
        each.integrate_depth(wall(2.4), CAMERA, MAP_FROM_OPTICAL)
    assert made.full_payload() == untouched.full_payload()
    assert made.statistics() == untouched.statistics()


def test_a_tree_that_fails_to_follow_says_what_the_map_is(tmp_path: Path) -> None:
    class Failing(PlainTree):
        def restore(self, payload: bytes) -> None:
            raise MemoryError

    config = MapperConfig(resolution=0.1)
    made = OccupancyMap(config, Failing(0.1))
    made.integrate_depth(wall(), CAMERA, MAP_FROM_OPTICAL)
    before = made.full_payload()
    mapper().save(tmp_path / "map.ot")
    box = np.float32([-5, -5, -5]), np.float32([5, 5, 5])
    for change in (
        lambda: made.load(tmp_path / "map.ot"),
        made.reset,
        lambda: made.clear_box(*box, forget=True),
    ):
        with pytest.raises(MemoryError):
            change()
        assert made.full_payload() == before


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


def test_real_frames_equal_the_plain_rules(shared_data: Path) -> None:
    """Two real depth images, through the map and through the plain rules."""
    folder = shared_data / "data" / "kitchen_rgbd"
    camera = CameraIntrinsics(80, 60, fx=73.125, fy=73.125, cx=39.5625, cy=29.5625)
    config = MapperConfig(resolution=0.1, max_range=3.0)
    engines = [OccupancyMap(config), OccupancyMap(config, PlainTree(0.1))]
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


WARM = """
import sys
import numpy as np
from numba.core.registry import CPUDispatcher
from cnn_perception.config import MapperConfig
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.types import CameraIntrinsics, RigidTransform

def compiled():
    return {
        f"{module}.{name}": len(kernel.signatures)
        for module, content in list(sys.modules.items())
        if module.startswith("cnn_perception.mapping")
        for name, kernel in vars(content).items()
        if isinstance(kernel, CPUDispatcher)
    }

config = MapperConfig(resolution=0.1, local_window=6.0, decay_after=1.0)
made = OccupancyMap(config)
made.warm_up()
before = compiled()
camera, rng = CameraIntrinsics(40, 30, 40.0, 40.0, 20.0, 15.0), np.random.default_rng(0)
far = RigidTransform(np.eye(3), np.array([0.0, 0.0, 3276.0]))  # a sweep cannot be exact there
for step in range(6):
    made.config = MapperConfig(
        resolution=0.1, local_window=6.0, decay_after=1.0, discretize=step % 2 > 0
    )
    depth = rng.uniform(0.5, 4.0, (30, 40)).astype(np.float32)
    place = far if step == 4 else RigidTransform.identity()
    made.integrate_depth(depth, camera, place, stamp_ns=step * 10**9)
    points = rng.normal(0, 2, (90, 3)).astype(np.float32)
    made.integrate_cloud(points[:60], RigidTransform.identity(), points[60:], step * 10**9)
    made.clear_box(np.zeros(3), np.ones(3), forget=step > 2)
    made.binary_payload(), made.full_payload(), made.leaves(), made.statistics()
made.reset()
print(sorted(name for name, count in compiled().items() if count > before[name]))
"""


def test_after_warming_up_no_scan_waits_for_a_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
