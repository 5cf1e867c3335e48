"""The box in which points are used at all: octomap_server's pass-through filter."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from cnn_perception.settings import Config, setting
from cnn_perception.types import BoolArray, Float32Array, Float64Array

__all__ = ["CropConfig", "inside_crop"]

_FAR = sys.float_info.max


def _limit(default: float, side: str, axis: str) -> float:
    value: float = setting(
        default,
        f"Points {'below' if side == 'min' else 'above'} this {axis}, metres, are ignored; in "
        "frame_id, or in base_frame_id with filter_ground_plane",
        minimum=-_FAR,
        maximum=_FAR,
        live=True,
        parameter=f"point_cloud_{side}_{axis}",
    )
    return value


@dataclass(frozen=True, slots=True)
class CropConfig(Config):
    """Limits between which points are used."""

    min_x: float = _limit(-_FAR, "min", "x")
    max_x: float = _limit(_FAR, "max", "x")
    min_y: float = _limit(-_FAR, "min", "y")
    max_y: float = _limit(_FAR, "max", "y")
    min_z: float = _limit(-100.0, "min", "z")
    max_z: float = _limit(100.0, "max", "z")

    @property
    def limits(self) -> Float64Array:
        """The corners of the box, float64 (2, 3), metres, the lower first."""
        return np.array(
            [[self.min_x, self.min_y, self.min_z], [self.max_x, self.max_y, self.max_z]]
        )


def inside_crop(points: Float32Array, config: CropConfig) -> BoolArray:
    """Say which points, float32 (N, 3) metres, lie in the box, its border included: bool (N,)."""
    low, high = config.limits
    inside = np.ones(len(points), np.bool_)
    for axis in range(3):
        inside &= (points[:, axis] >= low[axis]) & (points[:, axis] <= high[axis])
    return inside
