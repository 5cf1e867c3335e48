"""Random depth images that a mapper finds hard, and maps of them made ray by ray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.scans import ScanReport
from cnn_perception.mapping.sensor_model import SensorModel
from cnn_perception.mapping.sweep.depth_sweep import DepthSweep
from cnn_perception.mapping.voxels.store_codec import StoreCodec
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import CameraIntrinsics, Float32Array, Float64Array, RigidTransform


@dataclass(frozen=True)
class Scene:
    """One depth image, how it was taken and how it is to be mapped."""

    depth: Float32Array
    intrinsics: CameraIntrinsics
    map_from_camera: RigidTransform
    resolution: float
    max_range: float = -1.0
    min_range: float = 0.0
    stride: int = 1


def random_scene(seed: int) -> Scene:
    """Slanted and wavy surfaces, steps, noise, quantised depth, holes; any camera and any pose.

    Poses are often aligned to the axes, and cameras on borders or in middles of cells.
    """
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1, 49)), int(rng.integers(1, 65))
    distance = 10 ** rng.uniform(-1.2, 0.8)
    resolution = float(rng.choice([0.02, 0.05, 0.1, 0.3, 0.5, rng.uniform(0.02, 0.5)]))
    resolution = max(resolution, distance / 40)
    focal = 0.5 * max(width, 2) / np.tan(rng.uniform(0.15, 1.1))
    intrinsics = CameraIntrinsics(
        width,
        height,
        float(focal),
        float(focal * rng.uniform(0.8, 1.25)),
        float(rng.uniform(-0.2, 1.2) * width),
        float(rng.uniform(-0.2, 1.2) * height),
    )
    depth = distance * _surface(rng, height, width)
    quaternion = rng.normal(size=4)
    if rng.random() < 0.25:
        quaternion = np.round(quaternion / np.abs(quaternion).max())
    position = rng.uniform(-3, 3, 3) * rng.choice([0.1, 1, 30, 300])
    where = rng.random()
    if where < 0.4:
        position = (np.round(position / resolution) + (0.5 if where < 0.1 else 0.0)) * resolution
    stride = int(rng.choice([1, 1, 1, 2, 3]))
    return Scene(
        depth.astype(np.float32),
        intrinsics,
        RigidTransform.from_quaternion(tuple(position), tuple(quaternion)),
        resolution,
        max_range=float(rng.choice([-1.0, -1.0, 1.0, distance, rng.uniform(0.05, 6)])),
        min_range=float(rng.choice([0.0, 0.0, 0.3])),
        stride=stride if min(height, width) > stride // 2 else 1,
    )


def _surface(rng: np.random.Generator, height: int, width: int) -> Float64Array:
    """Depths around 1, with whatever real images have."""
    v, u = np.mgrid[:height, :width]
    depth = 1 + rng.uniform(-0.8, 0.8) * (u / width - 0.5)
    depth += rng.uniform(-0.8, 0.8) * (v / height - 0.5)
    depth += rng.uniform(0, 0.2) * np.sin(u * rng.uniform(0, 0.6)) * np.cos(v * rng.uniform(0, 0.6))
    for _ in range(int(rng.integers(0, 4))):
        top, left = rng.integers(0, height), rng.integers(0, width)
        bottom, right = top + rng.integers(1, height + 1), left + rng.integers(1, width + 1)
        depth[top:bottom, left:right] *= rng.uniform(0.2, 3)
    if rng.random() < 0.5:
        depth *= 1 + rng.normal(0, rng.choice([0.001, 0.02, 0.3]), depth.shape)
    if rng.random() < 0.3:
        depth = np.round(depth * 20) / 20
    if rng.random() < 0.5:
        missing = rng.random(depth.shape) < rng.choice([0.02, 0.3, 0.95])
        depth[missing] = rng.choice([0, np.nan, np.inf, -1])
    return np.asarray(depth, np.float64)


def map_by_rays(scene: Scene) -> tuple[Leaves, ScanReport]:
    """Walk each ray."""
    points = depth_to_points(
        scene.depth,
        scene.intrinsics,
        scene.min_range,
        stride=scene.stride,
        target_from_camera=scene.map_from_camera,
    )
    made = OccupancyMap(MapperConfig(resolution=scene.resolution, max_range=scene.max_range))
    report = made.insert_points(points, scene.map_from_camera.translation)
    return made.leaves(), report


def map_by_sweep(scene: Scene, sweep: DepthSweep | None = None) -> tuple[Leaves, ScanReport] | None:
    """Sweep the cells; None where the sweep declines."""
    store = VoxelStore()
    report = (sweep or DepthSweep(scene.resolution)).mark(
        store,
        scene.depth,
        scene.intrinsics,
        scene.map_from_camera,
        scene.max_range,
        scene.min_range,
        scene.stride,
    )
    if report is None:
        return None
    store.merge(SensorModel.from_config(MapperConfig()))
    return StoreCodec(store).leaves(), report


def differences(left: Leaves, right: Leaves) -> int:
    """How many cells are not the same, in key or in any bit of their log-odds."""
    if len(left) == len(right) and all(
        np.array_equal(a, b)
        for a, b in (
            (left.keys, right.keys),
            (left.depths, right.depths),
            (left.log_odds.view(np.uint32), right.log_odds.view(np.uint32)),
        )
    ):
        return 0
    cells = [
        {
            (*key, bits)
            for *key, bits in zip(*leaf.keys.T, leaf.log_odds.view(np.uint32), strict=True)
        }
        for leaf in (left.finest(), right.finest())
    ]
    return len(cells[0] ^ cells[1])
