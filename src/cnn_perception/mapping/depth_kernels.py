"""Compiled reading of depth images."""

from __future__ import annotations

import numpy as np

from cnn_perception.mapping.jit import kernel
from cnn_perception.mapping.projection import PixelRays
from cnn_perception.types import Float32Array

__all__ = ["read_points"]


@kernel
def read_points(
    depth: Float32Array, rays: PixelRays, min_range: float, stride: int, points: Float32Array
) -> int:
    """Write the points that a depth image shows, as `depth_to_points` does; return how many."""
    count = 0
    nearest = np.float32(min_range * min_range)
    far = np.float32(np.inf)
    half = stride // 2
    for v in range(rays.rows.shape[1]):
        line = depth[v * stride + half]
        row_x, row_y, row_z = rays.rows[0, v], rays.rows[1, v], rays.rows[2, v]
        slope = rays.row_slopes[v] * rays.row_slopes[v]
        for u in range(rays.columns.shape[1]):
            z = line[u * stride + half]
            if not (z > 0 and z < far):
                continue
            x_slope = rays.column_slopes[u]
            if min_range > 0 and z * z * (np.float32(1) + (x_slope * x_slope + slope)) < nearest:
                continue
            points[count, 0] = (rays.columns[0, u] + row_x) * z + rays.origin[0]
            points[count, 1] = (rays.columns[1, u] + row_y) * z + rays.origin[1]
            points[count, 2] = (rays.columns[2, u] + row_z) * z + rays.origin[2]
            count += 1
    return count
