"""The sweep against walks ray by ray: no cell missing, none spurious, no bit different."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MessageError
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.sweep.depth_sweep import DepthSweep
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform
from depth_scenes import Scene, differences, map_by_rays, map_by_sweep, random_scene
from plain_octomap import PlainTree

CAMERA = CameraIntrinsics(48, 36, 40.0, 41.0, 20.3, 18.9)
# Optical axis along x, -x, y, -y, z, -z of the map.
ALONG_AXES = [
    (0.5, 0.5, 0.5, 0.5),
    (-0.5, -0.5, 0.5, 0.5),
    (-(0.5**0.5), 0.0, 0.0, 0.5**0.5),
    (0.5**0.5, 0.0, 0.0, 0.5**0.5),
    (0.0, 0.0, 0.0, 1.0),
    (1.0, 0.0, 0.0, 0.0),
]
TILTED = (0.3, -0.5, 0.2, 0.7)


def pose(x: float, y: float, z: float, quaternion: tuple[float, ...] = TILTED) -> RigidTransform:
    return RigidTransform.from_quaternion((x, y, z), quaternion)  # type: ignore[arg-type]


def check(scene: Scene, sweep: DepthSweep | None = None) -> int:
    """Assert that both ways give one map; return how many leaves it has."""
    swept = map_by_sweep(scene, sweep)
    assert swept is not None, "the sweep declined"
    walked = map_by_rays(scene)
    assert differences(swept[0], walked[0]) == 0
    assert swept[1] == walked[1]
    return len(swept[0])


def flat(depth: float) -> Float32Array:
    return np.full((CAMERA.height, CAMERA.width), depth, np.float32)


def wavy(distance: float) -> Float32Array:
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    depth = distance * (1 + 0.2 * np.sin(u / 7) * np.cos(v / 5))
    depth[10:20, 15:30] *= 0.6
    depth[5, :] = 0
    return np.asarray(depth, np.float32)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_equals_walked_rays_on_random_scenes(first: int) -> None:
    declined = 0
    for seed in range(first, first + 100):
        scene = random_scene(seed)
        swept = map_by_sweep(scene)
        if swept is None:
            declined += 1
            continue
        walked = map_by_rays(scene)
        assert differences(swept[0], walked[0]) == 0, f"seed {seed}"
        assert swept[1] == walked[1], f"seed {seed}"
    assert declined < 15


@pytest.mark.parametrize("max_range", [-1.0, 1.4])
@pytest.mark.parametrize("resolution", [0.07, 0.2])
def test_equals_the_reference(resolution: float, max_range: float) -> None:
    scene = Scene(wavy(1.5), CAMERA, pose(0.21, -0.4, 1.3), resolution, max_range, stride=2)
    tree, pose_ = PlainTree(resolution), scene.map_from_camera
    points = depth_to_points(scene.depth, CAMERA, stride=2, target_from_camera=pose_)
    config = MapperConfig(resolution=resolution, max_range=max_range)
    tree.insert(points, pose_.translation.astype(np.float32), config)
    swept = map_by_sweep(scene)
    assert swept is not None
    assert differences(swept[0], tree.leaves()) == 0


@pytest.mark.parametrize("quaternion", ALONG_AXES)
@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_planes_on_the_borders_of_cells(quaternion: tuple[float, ...], offset: float) -> None:
    """Ends on borders, rays along borders and through corners: ties everywhere."""
    camera = CameraIntrinsics(41, 41, 20.0, 20.0, 20.0, 20.0)
    for depth in (0.8, 1.0, 1.2):
        picture = np.full((41, 41), depth, np.float32)
        scene = Scene(picture, camera, pose(offset, offset, offset, quaternion), 0.1)
        assert check(scene) > 0
        assert check(replace(scene, max_range=1.1)) > 0


def test_a_flat_floor_on_a_border_seen_by_a_level_camera() -> None:
    """Every end is within rounding of a border: no ray may be trusted for its last cell."""
    camera = CameraIntrinsics(160, 120, 100.0, 100.0, 79.5, 59.5)
    rows = np.maximum(np.arange(120) - 59.5, 8.0)
    depth = np.repeat((1.0 / (rows / 100.0))[:, None], 160, axis=1).astype(np.float32)
    level = (-0.5, 0.5, -0.5, 0.5)
    assert check(Scene(depth, camera, pose(0.3, 0.1, 1.0, level), 0.05, 5.0)) > 1000


@pytest.mark.parametrize("max_range", [-1.0, 1.0])
@pytest.mark.parametrize("distance", [0.01, 0.04, 0.4])
def test_a_camera_close_to_a_wall_or_in_it(distance: float, max_range: float) -> None:
    for place in (0.0, 0.02, 0.1, 0.1000001):
        check(Scene(flat(distance), CAMERA, pose(place, place, -place), 0.1, max_range))


@pytest.mark.parametrize("value", [np.nan, 0.0, np.inf, -1.0])
def test_no_reading_at_all_marks_nothing(value: float) -> None:
    assert check(Scene(flat(value), CAMERA, pose(0, 0, 0), 0.05)) == 0


@pytest.mark.parametrize(("row", "column"), [(0, 0), (17, 31), (35, 47)])
@pytest.mark.parametrize("max_range", [-1.0, 0.7])
def test_a_single_reading_is_a_single_ray(row: int, column: int, max_range: float) -> None:
    depth = flat(np.nan)
    depth[row, column] = 1.37
    for quaternion in (TILTED, *ALONG_AXES):
        assert check(Scene(depth, CAMERA, pose(0.11, 0.02, 0.0, quaternion), 0.05, max_range)) > 0


@pytest.mark.parametrize("max_range", [0.0, 0.03, 0.3, 1.0])
def test_everything_beyond_the_range_only_clears(max_range: float) -> None:
    scene = Scene(wavy(9.0), CAMERA, pose(0.4, 1.0, -2.0), 0.05, max_range)
    check(scene)
    swept = map_by_sweep(scene)
    assert swept is not None and not swept[0].occupied.any()


def test_readings_nearer_than_the_least_range_are_left_out() -> None:
    scene = Scene(wavy(1.0), CAMERA, pose(0.4, 1.0, -2.0), 0.05, 2.0, min_range=0.9)
    swept, everything = map_by_sweep(scene), map_by_sweep(replace(scene, min_range=0.0))
    assert swept is not None and everything is not None
    assert 0 < swept[1].points < everything[1].points
    check(scene)


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 50])
def test_strides(stride: int) -> None:
    check(Scene(wavy(1.5), CAMERA, pose(0.4, 1.0, -2.0), 0.05, 3.0, stride=stride))


def test_pixels_larger_than_cells() -> None:
    """Where rays diverge, cells between them must stay unknown."""
    assert check(Scene(wavy(1.2), CAMERA, pose(0.4, 1.0, -2.0), 0.008)) > 10_000


def test_far_from_the_middle_of_the_map() -> None:
    check(Scene(wavy(1.5), CAMERA, pose(900.0, -1200.0, 700.0), 0.05, 3.0))


@pytest.mark.parametrize(
    ("place", "depth"),
    [(1637.6, 1.5), (-1638.3, 1.5), (0.0, 3e3), (0.0, 3e30), (0.0, 2e38)],
    ids=["border", "other border", "reading off the map", "overflow", "infinite"],
)
def test_declines_where_it_could_not_be_exact(place: float, depth: float) -> None:
    store, sweep = VoxelStore(), DepthSweep(0.05)
    for quaternion in ALONG_AXES[:2]:
        where = pose(place, 0.0, 0.0, quaternion)
        declined = sweep.mark(store, wavy(depth), CAMERA, where, -1.0) is None
        assert declined or (place > 0) == (quaternion == ALONG_AXES[1])
    assert sweep.mark(VoxelStore(), wavy(1.0), CAMERA, pose(0, 0, 0), -1.0) is not None


def test_a_store_that_is_full_grows_and_the_sweep_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnn_perception.mapping.voxels.voxel_store._FIRST_BLOCKS", 4)
    for resolution in (0.02, 0.05):
        scene = Scene(wavy(1.5), CAMERA, pose(0.4, 1.0, -2.0), resolution, 1.6)
        assert check(scene) > 1000


def test_near_and_far_in_one_image() -> None:
    """Cells are larger than pixels in one part of the room, smaller in the other."""
    depth = wavy(0.8)
    depth[:, 24:] = wavy(6.0)[:, 24:]
    for max_range in (-1.0, 5.5):
        assert check(Scene(depth, CAMERA, pose(0.4, 1.0, -2.0), 0.04, max_range)) > 5000


def test_images_of_different_sizes_in_turn() -> None:
    sweep = DepthSweep(0.05)
    for size in (1, 40, 7, 40, 200):
        camera = CameraIntrinsics(size, max(1, size // 2), 50.0, 50.0, size / 3, size / 5)
        depth = np.full((camera.height, camera.width), 1.3, np.float32)
        check(Scene(depth, camera, pose(0.1, 0.2, 0.3), 0.05), sweep)


def test_an_image_of_another_size_than_its_intrinsics_is_refused() -> None:
    with pytest.raises(MessageError, match="48x36"):
        DepthSweep(0.05).mark(VoxelStore(), flat(1.0).T.copy(), CAMERA, pose(0, 0, 0), -1.0)


@pytest.mark.parametrize("resolution", [0.05, 0.02])
def test_equals_walked_rays_on_a_real_kitchen(shared_data: Path, resolution: float) -> None:
    folder = shared_data / "data" / "kitchen_rgbd"
    if not folder.is_dir():
        pytest.skip(f"no RGB-D sequence at {folder}")
    sweep = DepthSweep(resolution)
    camera = CameraIntrinsics(640, 480, 585.0, 585.0, 320.0, 240.0)
    for path in sorted(folder.glob("*.depth.png"))[::13]:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image is not None
        matrix = np.loadtxt(str(path).replace("depth.png", "pose.txt"))
        depth = image.astype(np.float32) * np.float32(0.001)
        for max_range in (5.0, 1.9):
            place = RigidTransform.from_matrix(matrix)
            assert check(Scene(depth, camera, place, resolution, max_range), sweep) > 3_000
