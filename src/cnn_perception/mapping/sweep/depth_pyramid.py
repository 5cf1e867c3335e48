"""A depth image as kernels sweep it: how near each pixel's ray ends, and the extremes over tiles.

Nearness is the inverse of depth along the optical axis, float32 1/m. It is affine in the pixel for
the points of a plane, so cells bounded by planes are tested with additions and comparisons.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.projection import PixelRays, coordinate, is_reading
from cnn_perception.mapping.voxels.cell_kernels import cell_of
from cnn_perception.types import Float32Array, Float64Array, Int64Array

__all__ = [
    "RING",
    "WINDOW",
    "Pyramid",
    "View",
    "build_pyramid",
    "largest_reading",
    "make_pyramid",
    "points_beyond",
    "read_depth",
]

# Tiles around each level that hold nothing, so that a window of tiles may start or end outside.
RING = WINDOW = 4
# Readers of eight tiles at a time may go past the end of a row.
_OVERHANG = 16
_NOTHING = np.float32(np.inf)
_INFINITE_BITS = np.int32(0x7F800000)


class View(NamedTuple):
    """Where the camera is, how it projects, and the cells: constant during a scan.

    Positions are relative to the camera, along the map's axes, in metres.
    """

    project: Float64Array  # (3, 3): position -> (u * depth, v * depth, depth)
    slopes: Float64Array  # (3, 3): direction per metre of depth = slopes @ (u, v, 1)
    eye: Float64Array  # (3,): the camera in the map
    resolution: float
    per_metre: float
    max_range: float  # infinite where unlimited
    furthest: np.float32  # squared; longer rays are cut to max_range
    margin: float  # more than all roundings move a ray or a face
    extent: float  # of a cell along the depth, from its centre, grown by the margin
    horizon: float  # cells wholly beyond this depth are not looked at
    offsets: Float32Array  # (3, 512): projections of the cells of a block less its centre's
    limits: Float64Array  # by level: within this depth a tile is smaller than half a cell


class Pyramid(NamedTuple):
    """Nearness over tiles of 2^level pixels square; all levels in one array each, with rings.

    Tile (i, j) of a level lies at bases[level] + j * pitches[level] + i. A pixel without a reading
    has infinite nearness: its ray ends at the camera.
    """

    least: Float32Array  # the smallest nearness of a tile: where its longest ray ends
    longest: Float32Array  # the least of the 4 x 4 tiles that start at a tile
    sure: Float32Array  # like least, of where rays are certain to pass each cell they come to
    tops: Float32Array  # the largest in a tile of `sure` of level 1; from level 2
    shortest: Float32Array  # the largest of the 4 x 4 tiles of `tops` that start at a tile
    bases: Int64Array
    pitches: Int64Array
    widths: Int64Array
    heights: Int64Array
    row: Float32Array  # scratch


def make_pyramid(width: int, height: int) -> Pyramid:
    """Return an empty pyramid for an image."""
    bases, pitches, widths, heights = [], [], [], []
    start = 0
    while True:
        pitch = width + 2 * RING + _OVERHANG
        bases.append(start + RING * pitch + RING)
        pitches.append(pitch)
        widths.append(width)
        heights.append(height)
        start += pitch * (height + 2 * RING) + _OVERHANG
        if width == 1 and height == 1:
            break
        width, height = (width + 1) // 2, (height + 1) // 2

    def empty() -> Float32Array:
        return np.full(start, np.inf, np.float32)

    return Pyramid(
        least=empty(),
        longest=empty(),
        sure=empty(),
        tops=empty(),
        shortest=empty(),
        bases=np.array(bases, np.int64),
        pitches=np.array(pitches, np.int64),
        widths=np.array(widths, np.int64),
        heights=np.array(heights, np.int64),
        row=np.full(pitches[0] + _OVERHANG, np.inf, np.float32),
    )


@kernel
def largest_reading(depth: Float32Array) -> float:
    """Return the largest depth that is a reading, or 0."""
    # Positive floats are ordered as their bits are, whose maximum the compiler can vectorise.
    largest = np.int32(0)
    for v in range(depth.shape[0]):
        bits = depth[v].view(np.int32)
        for u in range(bits.size):
            size = bits[u] if bits[u] < _INFINITE_BITS else np.int32(0)
            largest = size if size > largest else largest
    return np.float64(np.array([largest], np.int32).view(np.float32)[0])


@kernel
def read_depth(
    depth: Float32Array,
    rays: PixelRays,
    view: View,
    nearest: np.float32,
    pyramid: Pyramid,
    cells: Int64Array,
) -> int:
    """Find where each pixel's ray ends: nearness to level 0, the end's packed cell to `cells`.

    Rays longer than max_range are cut to it and hit nothing: cell -1. nearest: the smallest squared
    range that is a reading. Two kinds of rays may not count for the last cell that they come to:
    the cut ones, since they end in it; and those that end within the margin of a face, since
    OctoMap's walk leaves out a cell whose border, as rounded, lies beyond the ray's length. They
    are sure up to half a cell's extent before their end. Returns how many readings there are.
    """
    width, height = rays.columns.shape[1], rays.rows.shape[1]
    one, zero = np.float32(1), np.float32(0)
    ox, oy, oz = rays.origin[0], rays.origin[1], rays.origin[2]
    xs, ys, zs = rays.columns[0], rays.columns[1], rays.columns[2]
    slopes = rays.column_slopes
    per_metre, furthest, max_range = view.per_metre, view.furthest, np.float32(view.max_range)
    lead = np.float32(view.extent + view.margin)
    low, high = view.margin * per_metre, 1 - view.margin * per_metre
    readings = 0
    for v in range(height):
        line = depth[v]
        row_x, row_y, row_z = rays.rows[0, v], rays.rows[1, v], rays.rows[2, v]
        row_slope = rays.row_slopes[v]
        base = pyramid.bases[0] + v * pyramid.pitches[0]
        ends = pyramid.least[base : base + width]
        certain = pyramid.sure[base : base + width]
        found = cells[v * width : (v + 1) * width]
        for u in range(width):
            z = line[u]
            reading = is_reading(z, slopes[u], row_slope, nearest, _NOTHING)
            x = coordinate(xs[u], row_x, z, ox)
            y = coordinate(ys[u], row_y, z, oy)
            w = coordinate(zs[u], row_z, z, oz)
            dx, dy, dz = x - ox, y - oy, w - oz
            squared = dx * dx + dy * dy + dz * dz
            cut = squared > furthest
            end = z * (max_range / math.sqrt(squared)) if cut else z
            ends[u] = one / end if reading else _NOTHING
            readings += reading
            a, b, c = per_metre * x, per_metre * y, per_metre * w
            a, b, c = a - math.floor(a), b - math.floor(b), c - math.floor(c)
            inside = (a > low) & (a < high) & (b > low) & (b < high) & (c > low) & (c < high)
            short = end - lead
            short = end if inside & (not cut) else short
            certain[u] = one / short if reading & (short > zero) else _NOTHING
            found[u] = cell_of(x, y, w, per_metre) if reading & (not cut) else -1
    return readings


@kernel
def points_beyond(
    depth: Float32Array, rays: PixelRays, horizon: float, pyramid: Pyramid, points: Float32Array
) -> int:
    """Write the points, (N, 3) in the map, whose rays end beyond a depth; return how many."""
    count = 0
    bound = np.float32((1 + 1e-5) / horizon)
    for v in range(depth.shape[0]):
        base = pyramid.bases[0] + v * pyramid.pitches[0]
        for u in range(depth.shape[1]):
            if pyramid.least[base + u] < bound:
                for axis in range(3):
                    points[count, axis] = coordinate(
                        rays.columns[axis, u], rays.rows[axis, v], depth[v, u], rays.origin[axis]
                    )
                count += 1
    return count


@inlined
def _halve(
    source: Float32Array, target: Float32Array, pyramid: Pyramid, level: int, largest: bool
) -> None:
    """Fill a level from the one below: the least, or the largest, of 2 x 2 tiles."""
    width, pitch = pyramid.widths[level], pyramid.pitches[level - 1]
    row = pyramid.row
    for j in range(pyramid.heights[level]):
        first = pyramid.bases[level - 1] + 2 * j * pitch
        upper = source[first : first + 2 * width]
        lower = source[first + pitch : first + pitch + 2 * width]
        for i in range(2 * width):
            if largest:
                row[i] = upper[i] if upper[i] > lower[i] else lower[i]
            else:
                row[i] = upper[i] if upper[i] < lower[i] else lower[i]
        first = pyramid.bases[level] + j * pyramid.pitches[level]
        out = target[first : first + width]
        for i in range(width):
            left, right = row[2 * i], row[2 * i + 1]
            if largest:
                out[i] = left if left > right else right
            else:
                out[i] = left if left < right else right


@inlined
def _slide(
    source: Float32Array, target: Float32Array, pyramid: Pyramid, level: int, largest: bool
) -> None:
    """Set each tile of a level, and those around, from the 4 x 4 tiles that start there."""
    width, pitch = pyramid.widths[level] + RING, pyramid.pitches[level]
    row = pyramid.row
    for j in range(-RING, pyramid.heights[level] + 1):
        first = pyramid.bases[level] + j * pitch - RING
        upper = source[first : first + width + WINDOW]
        second = source[first + pitch : first + pitch + width + WINDOW]
        third = source[first + 2 * pitch : first + 2 * pitch + width + WINDOW]
        lower = source[first + 3 * pitch : first + 3 * pitch + width + WINDOW]
        for i in range(width + WINDOW):
            a, b, c, d = upper[i], second[i], third[i], lower[i]
            if largest:
                a, c = a if a > b else b, c if c > d else d
                row[i] = a if a > c else c
            else:
                a, c = a if a < b else b, c if c < d else d
                row[i] = a if a < c else c
        out = target[first : first + width + 1]
        for i in range(width + 1):
            a, b, c, d = row[i], row[i + 1], row[i + 2], row[i + 3]
            if largest:
                a, c = a if a > b else b, c if c > d else d
                out[i] = a if a > c else c
            else:
                a, c = a if a < b else b, c if c < d else d
                out[i] = a if a < c else c


@kernel
def build_pyramid(pyramid: Pyramid) -> None:
    """Fill all levels from level 0 of `least`."""
    _slide(pyramid.least, pyramid.longest, pyramid, 0, False)
    for level in range(1, pyramid.widths.size):
        _halve(pyramid.least, pyramid.least, pyramid, level, False)
        _slide(pyramid.least, pyramid.longest, pyramid, level, False)
        _halve(pyramid.sure, pyramid.sure, pyramid, level, False)
        if level >= 2:
            source = pyramid.tops if level > 2 else pyramid.sure
            _halve(source, pyramid.tops, pyramid, level, True)
            _slide(pyramid.tops, pyramid.shortest, pyramid, level, True)
