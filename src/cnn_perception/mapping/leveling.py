"""Which way is up, from the points alone: rooms are full of horizontal surfaces."""

from __future__ import annotations

import numpy as np

from cnn_perception.types import Float32Array, Float64Array, RigidTransform

__all__ = ["estimate_up", "level"]

_CONE = np.radians(40.0)
_STEPS = 25
_FINEST_LAYER = 0.01  # metres


def estimate_up(points: Float32Array, guess: Float64Array, samples: int = 10_000) -> Float64Array:
    """Return the unit vector, float64 (3,), along which the points pile up in the fewest layers.

    points: float32 (N, 3) metres; guess: a direction within 40 degrees of the truth. The score of a
    direction is the sum of squares of the histogram of heights: floors, tables and shelves give
    peaks only when seen exactly edge-on. Accurate to about a quarter of a degree in a room;
    without points the guess is returned.
    """
    rng = np.random.default_rng(0)
    if len(points) > samples:
        points = points[rng.choice(len(points), samples, replace=False)]
    best: Float64Array = np.asarray(guess, np.float64) / np.linalg.norm(guess)
    reach = float(_CONE) if len(points) else 0.0
    while reach > np.radians(0.1):
        directions = _cone(best, reach)
        # As thick as a metre of floor seems when seen half a step askew.
        layer = max(_FINEST_LAYER, reach / _STEPS)
        scores = [_layering(points @ each.astype(np.float32), layer) for each in directions]
        best = np.asarray(directions[int(np.argmax(scores))], np.float64)
        reach /= 4.0
    return best


def level(up: Float64Array) -> RigidTransform:
    """Return the smallest rotation that makes `up`, float64 (3,), the z axis."""
    z = np.array([0.0, 0.0, 1.0])
    axis, cosine = np.cross(up, z), float(up @ z)
    if cosine < -1 + 1e-9:
        return RigidTransform(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
    x, y, w = axis
    skew = np.array([[0.0, -w, y], [w, 0.0, -x], [-y, x, 0.0]])
    return RigidTransform(np.eye(3) + skew + skew @ skew / (1 + cosine), np.zeros(3))


def _cone(center: Float64Array, reach: float) -> Float64Array:
    """Return directions (N, 3) on a grid around a direction, the direction itself among them."""
    side = np.cross(center, np.eye(3)[int(np.argmin(np.abs(center)))])
    side /= np.linalg.norm(side)
    other = np.cross(center, side)
    steps = np.tan(reach) * np.linspace(-1, 1, _STEPS)
    a, b = (grid.ravel()[:, None] for grid in np.meshgrid(steps, steps))
    directions = center + a * side + b * other
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True), np.float64)


def _layering(heights: Float32Array, layer: float) -> float:
    bins = np.floor((heights - heights.min()) / layer).astype(np.int64)
    counts = np.bincount(bins).astype(np.float64)
    return float(counts @ counts)
