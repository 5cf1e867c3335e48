"""Depth images to points: the inverse of the pinhole projection."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from cnn_perception.errors import MessageError
from cnn_perception.types import CameraIntrinsics, Float32Array

__all__ = ["depth_to_points"]


@lru_cache(maxsize=8)
def _rays(
    intrinsics: CameraIntrinsics, stride: int
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return x/z, y/z and range/z of each pixel used, float32 (h, w), read-only."""
    columns = np.arange(stride // 2, intrinsics.width, stride)
    rows = np.arange(stride // 2, intrinsics.height, stride)
    x, y = np.meshgrid(
        (columns - intrinsics.cx) / intrinsics.fx, (rows - intrinsics.cy) / intrinsics.fy
    )
    grids = tuple(grid.astype(np.float32) for grid in (x, y, np.sqrt(1.0 + x * x + y * y)))
    for grid in grids:
        grid.setflags(write=False)  # shared by all callers
    return grids[0], grids[1], grids[2]


def depth_to_points(
    depth: Float32Array,
    intrinsics: CameraIntrinsics,
    min_range: float = 0.0,
    max_range: float = math.inf,
    stride: int = 1,
) -> Float32Array:
    """Return the points that a depth image shows, float32 (N, 3) metres, row by row.

    depth: float32 (H, W), metres along the optical axis; NaN, inf and values <= 0 are no reading
    (REP-118). The points are in the camera's optical frame: x right, y down, z forward (REP-103),
    pixel centres at whole numbers. Readings whose distance from the camera is outside
    [min_range, max_range] are left out. With `stride` n, one pixel of each n x n block is used.
    Raises MessageError(``size_mismatch``) where image and intrinsics disagree.
    """
    if depth.shape != (intrinsics.height, intrinsics.width):
        raise MessageError(
            "size_mismatch",
            f"the depth image is {'x'.join(str(n) for n in depth.shape[::-1])} but its camera_info "
            f"says {intrinsics.width}x{intrinsics.height}: give the camera_info of this image",
        )
    x_slope, y_slope, stretch = _rays(intrinsics, stride)
    z = depth[stride // 2 :: stride, stride // 2 :: stride]
    usable = (z > 0) & (z < np.inf)
    if min_range > 0 or max_range < math.inf:
        distance = z * stretch
        usable &= (distance >= min_range) & (distance <= max_range)
    chosen = np.flatnonzero(usable)
    kept = z.ravel()[chosen]
    points = np.empty((chosen.size, 3), np.float32)
    np.multiply(x_slope.ravel()[chosen], kept, out=points[:, 0])
    np.multiply(y_slope.ravel()[chosen], kept, out=points[:, 1])
    points[:, 2] = kept
    return points
