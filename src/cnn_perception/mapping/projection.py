"""Depth images to points: the inverse of the pinhole projection, and where the camera stands.

All kernels that read depth images do these float32 operations in this order, so that their points
are equal bit for bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cnn_perception.errors import MessageError
from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.voxels.cell_kernels import NOT_A_POINT, packed_cell
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Float64Array,
    RigidTransform,
)

__all__ = [
    "PixelRays",
    "check_size",
    "coordinate",
    "depth_to_points",
    "is_reading",
    "pixel_rays",
    "read_cells",
    "read_points",
    "stretch",
    "strided",
]

_ZERO, _ONE, _INFINITE = np.float32(0), np.float32(1), np.float32(np.inf)


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


def stretch(intrinsics: CameraIntrinsics) -> float:
    """Return an upper bound of range / depth over the image."""
    x = max(abs(intrinsics.cx), abs(intrinsics.width - intrinsics.cx)) / intrinsics.fx
    y = max(abs(intrinsics.cy), abs(intrinsics.height - intrinsics.cy)) / intrinsics.fy
    return math.sqrt(1 + x * x + y * y)


def strided(depth: Float32Array, stride: int) -> Float32Array:
    """Return the pixels that `stride` chooses, those of `pixel_rays`, contiguous."""
    return np.ascontiguousarray(depth[stride // 2 :: stride, stride // 2 :: stride], np.float32)


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
    rays = pixel_rays(intrinsics, target_from_camera or RigidTransform.identity(), stride)
    chosen = strided(depth, stride)
    points = np.empty((chosen.size, 3), np.float32)
    return points[: read_points(chosen, rays, min_range, max_range, points)]


@inlined
def coordinate(
    column: np.float32, row: np.float32, depth: np.float32, origin: np.float32
) -> np.float32:
    """Return a pixel's point along one axis, from its ray's two parts."""
    return (column + row) * depth + origin


@inlined
def is_reading(
    depth: np.float32,
    column_slope: np.float32,
    row_slope: np.float32,
    nearest: np.float32,
    farthest: np.float32,
) -> bool:
    """Return whether a pixel has a reading with nearest <= range^2 <= farthest.

    Without a branch, so that loops over it can be vectorised.
    """
    squared = depth * depth * (_ONE + (column_slope * column_slope + row_slope * row_slope))
    in_range = (squared >= nearest) & (squared <= farthest)
    return (depth > _ZERO) & (depth < _INFINITE) & in_range


@kernel
def read_points(
    depth: Float32Array,
    rays: PixelRays,
    min_range: float,
    max_range: float,
    points: Float32Array,
) -> int:
    """Write the points that a depth image shows, as `depth_to_points` does; return how many."""
    count = 0
    nearest, farthest = np.float32(min_range * min_range), np.float32(max_range * max_range)
    for v in range(rays.rows.shape[1]):
        line = depth[v]
        row_x, row_y, row_z = rays.rows[0, v], rays.rows[1, v], rays.rows[2, v]
        for u in range(rays.columns.shape[1]):
            z = line[u]
            if is_reading(z, rays.column_slopes[u], rays.row_slopes[v], nearest, farthest):
                points[count, 0] = coordinate(rays.columns[0, u], row_x, z, rays.origin[0])
                points[count, 1] = coordinate(rays.columns[1, u], row_y, z, rays.origin[1])
                points[count, 2] = coordinate(rays.columns[2, u], row_z, z, rays.origin[2])
                count += 1
    return count


@kernel
def read_cells(
    depth: Float32Array,
    rays: PixelRays,
    min_range: float,
    per_metre: float,
    cells: Float64Array,
) -> None:
    """Write the packed cell of each pixel's point, (h, w), NOT_A_POINT or OFF_THE_MAP.

    The loops have no branch in them, so that several pixels are computed at a time.
    """
    nearest = np.float32(min_range * min_range)
    column_x, column_y, column_z = rays.columns[0], rays.columns[1], rays.columns[2]
    slopes = rays.column_slopes
    x0, y0, z0 = rays.origin[0], rays.origin[1], rays.origin[2]
    width = rays.columns.shape[1]
    for v in range(rays.rows.shape[1]):
        line, out = depth[v], cells[v]
        row_x, row_y, row_z = rays.rows[0, v], rays.rows[1, v], rays.rows[2, v]
        row_slope = rays.row_slopes[v]
        for u in range(width):
            z = line[u]
            cell = packed_cell(
                coordinate(column_x[u], row_x, z, x0),
                coordinate(column_y[u], row_y, z, y0),
                coordinate(column_z[u], row_z, z, z0),
                per_metre,
            )
            reading = is_reading(z, slopes[u], row_slope, nearest, _INFINITE)
            out[u] = cell if reading else NOT_A_POINT
