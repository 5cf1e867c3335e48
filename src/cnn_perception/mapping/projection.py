"""Depth images to points: the inverse of the pinhole projection, and where the camera stands.

Kernels that read depth images themselves do these float32 operations in this order, so that their
points equal these bit for bit.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cnn_perception.errors import MessageError
from cnn_perception.types import CameraIntrinsics, Float32Array, RigidTransform

__all__ = ["PixelRays", "check_size", "depth_to_points", "pixel_rays"]


class PixelRays(NamedTuple):
    """The direction of each pixel's ray: columns[:, u] + rows[:, v], scaled so that depth is 1.

    columns: float32 (3, w) and rows: float32 (3, h) in the target frame; column_slopes: (w,) and
    row_slopes: (h,), x/z and y/z in the camera's frame; origin: (3,), the camera in the target
    frame. A pixel's point is its ray times its depth, plus the origin.
    """

    columns: Float32Array
    rows: Float32Array
    column_slopes: Float32Array
    row_slopes: Float32Array
    origin: Float32Array


@lru_cache(maxsize=8)
def _stretch(intrinsics: CameraIntrinsics, stride: int) -> Float32Array:
    """Return (range/z)^2 of each pixel used, float32 (h, w), read-only."""
    rays = pixel_rays(intrinsics, RigidTransform.identity(), stride)
    x, y = rays.column_slopes, rays.row_slopes
    grid = np.float32(1) + (x * x + (y * y)[:, None])
    grid.setflags(write=False)  # shared by all callers
    return grid


def pixel_rays(
    intrinsics: CameraIntrinsics, target_from_camera: RigidTransform, stride: int = 1
) -> PixelRays:
    """Return the rays of the pixels that `stride` chooses: one of each stride x stride block."""
    u = np.arange(stride // 2, intrinsics.width, stride)
    v = np.arange(stride // 2, intrinsics.height, stride)
    x, y = (u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy
    turn = target_from_camera.rotation
    return PixelRays(
        (turn[:, 0, None] * x).astype(np.float32),
        (turn[:, 1, None] * y + turn[:, 2, None]).astype(np.float32),
        x.astype(np.float32),
        y.astype(np.float32),
        target_from_camera.translation.astype(np.float32),
    )


def check_size(depth: Float32Array, intrinsics: CameraIntrinsics) -> None:
    """Raise MessageError(``size_mismatch``) where image and intrinsics disagree."""
    if depth.shape != (intrinsics.height, intrinsics.width):
        raise MessageError(
            "size_mismatch",
            f"the depth image is {'x'.join(str(n) for n in depth.shape[::-1])} but its camera_info "
            f"says {intrinsics.width}x{intrinsics.height}: give the camera_info of this image",
        )


def depth_to_points(
    depth: Float32Array,
    intrinsics: CameraIntrinsics,
    min_range: float = 0.0,
    max_range: float = math.inf,
    stride: int = 1,
    target_from_camera: RigidTransform | None = None,
) -> Float32Array:
    """Return the points that a depth image shows, float32 (N, 3) metres, row by row.

    depth: float32 (H, W), metres along the optical axis; NaN, inf and values <= 0 are no reading
    (REP-118). The points are in the target frame, by default the camera's optical frame: x right,
    y down, z forward (REP-103), pixel centres at whole numbers. Readings whose distance from the
    camera is outside [min_range, max_range] are left out. With `stride` n, one pixel of each n x n
    block is used. Raises MessageError(``size_mismatch``) where image and intrinsics disagree.
    """
    check_size(depth, intrinsics)
    z = depth[stride // 2 :: stride, stride // 2 :: stride]
    usable = (z > 0) & (z < np.inf)
    if min_range > 0 or max_range < math.inf:
        with np.errstate(over="ignore"):
            squared = z * z * _stretch(intrinsics, stride)
        usable &= squared >= np.float32(min_range * min_range)
        usable &= squared <= np.float32(max_range * max_range)
    rows, columns = np.nonzero(usable)
    kept = z[usable]
    rays = pixel_rays(intrinsics, target_from_camera or RigidTransform.identity(), stride)
    points = np.empty((kept.size, 3), np.float32)
    for axis in range(3):
        ray = rays.columns[axis, columns] + rays.rows[axis, rows]
        points[:, axis] = ray * kept + rays.origin[axis]
    return points
