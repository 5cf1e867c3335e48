"""The ground in a cloud: the horizontal plane under the robot, found by RANSAC.

The procedure is octomap_server's filterGroundPlane, which uses PCL's SACMODEL_PERPENDICULAR_PLANE:
take the horizontal plane with most points; where it passes the base frame's origin it is the
ground, else (a table, a ceiling) it is set aside and the next one is looked for. RANSAC: Fischler
and Bolles 1981.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnn_perception.settings import Config, setting
from cnn_perception.types import BoolArray, Float32Array, Float64Array

__all__ = ["GroundConfig", "find_ground"]

_FEWEST = 50  # octomap_server does not look for the ground in smaller clouds
_FEWEST_LEFT = 10
_SAMPLE = 3000
_TRIPLES = 8000
_MOST_COUNTED = 300
_PLANES = 10


@dataclass(frozen=True, slots=True)
class GroundConfig(Config):
    """Whether the ground is told from obstacles, and what counts as ground."""

    filter_ground_plane: bool = setting(
        False,
        "Find the ground in each scan: its points clear space and mark nothing; needs the "
        "transform to base_frame_id",
        live=True,
    )
    distance: float = setting(
        0.04,
        "Farthest that a point of the ground is from its plane, metres",
        minimum=0.001,
        maximum=1.0,
        live=True,
        parameter="ground_filter.distance",
    )
    angle: float = setting(
        0.15,
        "Steepest that the ground is, radians from the horizontal of base_frame_id",
        minimum=0.0,
        maximum=1.5,
        live=True,
        parameter="ground_filter.angle",
    )
    plane_distance: float = setting(
        0.07,
        "Farthest that the ground's plane passes from the origin of base_frame_id, metres",
        minimum=0.0,
        maximum=10.0,
        live=True,
        parameter="ground_filter.plane_distance",
    )


def find_ground(points: Float32Array, config: GroundConfig) -> BoolArray:
    """Say which points are ground, bool (N,).

    points: float32 (N, 3), finite, metres, in a frame with z up and its origin at ground height
    (base_footprint, REP-120). Equal points give equal answers. Where no plane passes near the
    origin, the points less than plane_distance above or below it are taken for ground; in clouds of
    fewer than 50 points, none.
    """
    ground = np.zeros(len(points), np.bool_)
    if len(points) < _FEWEST:
        return ground
    random = np.random.default_rng(0)
    left = np.arange(len(points))
    for _ in range(_PLANES):
        if len(left) <= _FEWEST_LEFT:
            break
        plane = _largest_plane(points[left], config, random)
        if plane is None:
            break
        on_plane = _distances(points[left], plane) <= config.distance
        if abs(plane[3]) < config.plane_distance:
            ground[left[on_plane]] = True
            return ground
        if not on_plane.any():
            break
        left = left[~on_plane]
    # A rough cut that at least keeps the floor from becoming an obstacle.
    return np.asarray(np.abs(points[:, 2]) <= config.plane_distance, np.bool_)


def _largest_plane(
    points: Float32Array, config: GroundConfig, random: np.random.Generator
) -> Float64Array | None:
    """Return the horizontal plane with most points, unit normal (3) and offset; None without one.

    Looked for in a sample and fitted to it: a count over all points would cost a hundred times
    more and decide the same.
    """
    few = points if len(points) <= _SAMPLE else points[random.integers(len(points), size=_SAMPLE)]
    sample = few.astype(np.float64)
    planes = _horizontal_planes(sample, config.angle, random)
    if len(planes) == 0:
        return None
    distances = np.abs(
        planes[:, :3].astype(np.float32) @ sample.T.astype(np.float32)
        + planes[:, 3:].astype(np.float32)
    )
    best = planes[np.argmax(np.count_nonzero(distances <= config.distance, axis=1))]
    return _fitted(sample[_distances(sample, best) <= config.distance], best, config.angle)


def _horizontal_planes(
    sample: Float64Array, angle: float, random: np.random.Generator
) -> Float64Array:
    """Return planes through three points each that are horizontal within the angle, (K, 4)."""
    a, b, c = sample[random.integers(len(sample), size=(3, _TRIPLES))]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    proper = lengths > 1e-12
    normals = normals[proper] / lengths[proper, None]
    normals *= np.where(normals[:, 2:] < 0, -1.0, 1.0)
    level = normals[:, 2] >= np.cos(angle)
    normals, origins = normals[level][:_MOST_COUNTED], a[proper][level][:_MOST_COUNTED]
    return np.column_stack([normals, -np.einsum("ij,ij->i", normals, origins)])


def _fitted(points: Float64Array, plane: Float64Array, angle: float) -> Float64Array:
    """Return the least-squares plane of the points; the given one where that is too steep."""
    center = points.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((points - center).T))
    normal = vectors[:, 0] * (1.0 if vectors[2, 0] >= 0 else -1.0)
    if len(points) < 3 or normal[2] < np.cos(angle):
        return plane
    return np.append(normal, -normal @ center)


def _distances(points: Float32Array | Float64Array, plane: Float64Array) -> Float64Array:
    distances = points @ plane[:3].astype(points.dtype) + points.dtype.type(plane[3])
    return np.asarray(np.abs(distances), np.float64)
