"""The answers to questions about a map: one array entry for each point, box or ray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.planning import query_kernels as kernels
from cnn_perception.types import BoolArray, Float32Array, Float64Array, UInt8Array

__all__ = [
    "FREE",
    "OCCUPIED",
    "STOP_BORDER",
    "STOP_HIT",
    "STOP_RANGE",
    "STOP_UNKNOWN",
    "UNKNOWN",
    "BoxOccupancy",
    "NearestObstacles",
    "Occupancy",
    "RayCasts",
]

# States, as in nav_msgs/OccupancyGrid.
UNKNOWN, FREE, OCCUPIED = -1, 0, 100
# Why a ray ended: see RayCasts.
STOP_HIT, STOP_UNKNOWN = kernels.STOP_HIT, kernels.STOP_UNKNOWN
STOP_RANGE, STOP_BORDER = kernels.STOP_RANGE, kernels.STOP_BORDER


@dataclass(frozen=True, slots=True, eq=False)
class Occupancy:
    """What is known at points: log_odds, float32 (N,), NaN where unknown."""

    log_odds: Float32Array

    @property
    def states(self) -> NDArray[np.int8]:
        """UNKNOWN, FREE or OCCUPIED, int8 (N,); occupied from log-odds 0 on, as in OctoMap."""
        known = np.where(self.log_odds >= 0, OCCUPIED, FREE)
        return np.where(np.isnan(self.log_odds), UNKNOWN, known).astype(np.int8)

    @property
    def probabilities(self) -> Float32Array:
        """How probably each cell is occupied, float32 (N,), NaN where unknown."""
        return np.asarray(1.0 - 1.0 / (1.0 + np.exp(self.log_odds.astype(np.float64))), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class BoxOccupancy:
    """How many cells of each kind boxes meet, int64 (N,) each; cells off the map are unknown."""

    occupied: NDArray[np.int64]
    free: NDArray[np.int64]
    unknown: NDArray[np.int64]

    @property
    def states(self) -> NDArray[np.int8]:
        """OCCUPIED where a box meets an occupied cell, else UNKNOWN where it meets an unknown one.

        int8 (N,); FREE where it meets free cells only.
        """
        rest = np.where(self.unknown > 0, UNKNOWN, FREE)
        return np.where(self.occupied > 0, OCCUPIED, rest).astype(np.int8)

    @property
    def known(self) -> Float64Array:
        """The known fraction of the cells that each box meets, float64 (N,)."""
        known = self.occupied + self.free
        return np.asarray(known / (known + self.unknown), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class RayCasts:
    """How rays ended.

    stops: uint8 (N,): STOP_HIT, an occupied cell; STOP_UNKNOWN, an unknown one; STOP_RANGE, the
    centre of the next cell is beyond the range; STOP_BORDER, the last cell that a map can hold.
    cells: float32 (N, 3) centre of the cell where the ray ended, as OctoMap's castRay returns it;
    NaN for an origin off the map. distances: float64 (N,) metres to where the ray enters the
    occupied cell, 0 if it starts in one, infinite without hit. points: float64 (N, 3) that place,
    NaN without hit.
    """

    stops: UInt8Array
    cells: Float32Array
    distances: Float64Array
    points: Float64Array

    @property
    def hits(self) -> BoolArray:
        """True where an occupied cell was met, bool (N,)."""
        return np.asarray(self.stops == STOP_HIT, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class NearestObstacles:
    """How far points are from obstacles.

    distances: float64 (N,) metres to the surface of the nearest obstacle's cell, 0 inside one,
    infinite where there is none within the distance asked for; cells: float32 (N, 3) its centre,
    NaN where there is none. Of equally near cells it is the one with the lowest x, then y, then z.
    """

    distances: Float64Array
    cells: Float32Array
