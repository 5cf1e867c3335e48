"""Depth images to points, against the pinhole equations pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnn_perception.errors import MessageError
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.types import CameraIntrinsics, Float32Array

CAMERA = CameraIntrinsics(7, 5, fx=6.0, fy=5.5, cx=2.75, cy=2.25)


def brute_force(
    depth: Float32Array, camera: CameraIntrinsics, nearest: float, farthest: float
) -> Float32Array:
    points = []
    for v in range(camera.height):
        for u in range(camera.width):
            z = float(depth[v, u])
            if not math.isfinite(z) or z <= 0:
                continue
            point = (z * (u - camera.cx) / camera.fx, z * (v - camera.cy) / camera.fy, z)
            if nearest <= math.hypot(*point) <= farthest:
                points.append(point)
    return np.array(points, np.float32).reshape(-1, 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("nearest", "farthest"), [(0.0, math.inf), (1.0, 3.0)])
def test_equals_the_pinhole_equations(seed: int, nearest: float, farthest: float) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.2, 5.0, (5, 7)).astype(np.float32)
    for value in (np.nan, np.inf, -np.inf, 0.0, -1.0):
        depth[rng.integers(5), rng.integers(7)] = value
    points = depth_to_points(depth, CAMERA, nearest, farthest)
    assert points.dtype == np.float32
    np.testing.assert_allclose(
        points, brute_force(depth, CAMERA, nearest, farthest), rtol=1e-5, atol=1e-6
    )


def test_points_project_back_onto_their_pixels() -> None:
    depth = np.full((5, 7), 2.0, np.float32)
    points = depth_to_points(depth, CAMERA)
    u = points[:, 0] / points[:, 2] * CAMERA.fx + CAMERA.cx
    v = points[:, 1] / points[:, 2] * CAMERA.fy + CAMERA.cy
    rows, columns = np.mgrid[0:5, 0:7]
    np.testing.assert_allclose(u.reshape(5, 7), columns, atol=1e-5)
    np.testing.assert_allclose(v.reshape(5, 7), rows, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -2.0])
def test_an_image_without_readings_has_no_points(value: float) -> None:
    assert depth_to_points(np.full((5, 7), value, np.float32), CAMERA).shape == (0, 3)


@pytest.mark.parametrize("stride", [2, 3, 5])
def test_a_stride_takes_the_middle_of_each_block(stride: int) -> None:
    depth = np.arange(1, 36, dtype=np.float32).reshape(5, 7)
    points = depth_to_points(depth, CAMERA, stride=stride)
    first = stride // 2
    np.testing.assert_array_equal(points[:, 2], depth[first::stride, first::stride].ravel())
    everything = depth_to_points(depth, CAMERA)
    assert {tuple(p) for p in points} <= {tuple(p) for p in everything}


def test_size_mismatch_names_both_sizes() -> None:
    with pytest.raises(MessageError, match="is 5x7 but its camera_info says 7x5") as caught:
        depth_to_points(np.ones((7, 5), np.float32), CAMERA)
    assert caught.value.reason == "size_mismatch"
