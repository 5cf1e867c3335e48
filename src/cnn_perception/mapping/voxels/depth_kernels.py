"""Compiled reading of depth images."""

from __future__ import annotations

import numpy as np

from cnn_perception.mapping.jit import kernel
from cnn_perception.mapping.projection import PixelRays
from cnn_perception.mapping.voxels.rays import NOT_A_POINT, packed_cell
from cnn_perception.types import Float32Array, Float64Array

__all__ = ["read_cells", "read_points"]


@kernel
def read_points(
    depth: Float32Array, rays: PixelRays, min_range: float, points: Float32Array
) -> int:
    """Write the points that a depth image shows, as `depth_to_points` does; return how many."""
    count = 0
    nearest = np.float32(min_range * min_range)
    far = np.float32(np.inf)
    for v in range(rays.rows.shape[1]):
        line = depth[v]
        row_x, row_y, row_z = rays.rows[0, v], rays.rows[1, v], rays.rows[2, v]
        slope = rays.row_slopes[v] * rays.row_slopes[v]
        for u in range(rays.columns.shape[1]):
            z = line[u]
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


@kernel
def read_cells(
    depth: Float32Array,
    rays: PixelRays,
    min_range: float,
    per_metre: float,
    cells: Float64Array,
) -> None:
    """Write the packed keys of each pixel's cell, (h, w), NOT_A_POINT or OFF_THE_MAP.

    The loops have no branch in them, so that several pixels are computed at a time.
    """
    nearest = np.float32(min_range * min_range)
    nothing, far = np.float32(0), np.float32(np.inf)
    column_x, column_y, column_z = rays.columns[0], rays.columns[1], rays.columns[2]
    x0, y0, z0 = rays.origin[0], rays.origin[1], rays.origin[2]
    width = rays.columns.shape[1]
    for v in range(rays.rows.shape[1]):
        line, out = depth[v], cells[v]
        row_x, row_y, row_z = rays.rows[0, v], rays.rows[1, v], rays.rows[2, v]
        for u in range(width):
            z = line[u]
            x_map = (column_x[u] + row_x) * z + x0
            y_map = (column_y[u] + row_y) * z + y0
            z_map = (column_z[u] + row_z) * z + z0
            cell = packed_cell(x_map, y_map, z_map, per_metre)
            out[u] = cell if (z > nothing) & (z < far) else NOT_A_POINT
        if min_range > 0:
            slope = rays.row_slopes[v] * rays.row_slopes[v]
            for u in range(width):
                z = line[u]
                x_slope = rays.column_slopes[u]
                near = z * z * (np.float32(1) + (x_slope * x_slope + slope)) < nearest
                out[u] = NOT_A_POINT if near else out[u]
