"""What the mapper asks of a mapping engine, and which engines there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.errors import OffMapError
from cnn_perception.mapping.leaves import KEY_ORIGIN, Leaves
from cnn_perception.types import (
    BoolArray,
    CameraIntrinsics,
    Float32Array,
    Int64Array,
    RigidTransform,
)

__all__ = [
    "MapEngine",
    "ScanReport",
    "SensorModel",
    "check_origin",
    "create_engine",
    "log_odds",
    "usable_points",
]


def log_odds(probability: float) -> np.float32:
    """Return log(p / (1 - p)) as OctoMap does: in double precision, kept as float32."""
    value: np.float32 = np.float32(math.log(probability / (1.0 - probability)))
    return value


@dataclass(frozen=True, slots=True)
class SensorModel:
    """Log-odds added by a hit and by a miss, and the limits between which a cell stays."""

    hit: np.float32
    miss: np.float32
    lowest: np.float32
    highest: np.float32

    @classmethod
    def from_config(cls, config: MapperConfig) -> SensorModel:
        """Convert the probabilities of a configuration."""
        return cls(
            log_odds(config.probability_hit),
            log_odds(config.probability_miss),
            log_odds(config.clamp_min),
            log_odds(config.clamp_max),
        )


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What became of the points of one scan: how many came, and how many could not be used.

    not_finite: NaN or infinite; outside: beyond the 65536 cells that a map spans on each axis.
    """

    points: int
    not_finite: int
    outside: int

    @property
    def used(self) -> int:
        """How many points went into the map."""
        return self.points - self.not_finite - self.outside

    def __add__(self, other: ScanReport) -> ScanReport:
        return ScanReport(
            self.points + other.points,
            self.not_finite + other.not_finite,
            self.outside + other.outside,
        )


class MapEngine(Protocol):
    """An occupancy map that takes in scans with OctoMap's semantics."""

    def integrate(
        self,
        points: Float32Array,
        origin: Float32Array,
        max_range: float,
        discretize: bool,
        clearing: Float32Array | None = None,
    ) -> ScanReport:
        """Take in one scan: each cell that rays touch is updated once, hits before misses.

        points: float32 (N, 3) and origin: float32 (3,), metres in the map frame. Points farther
        than max_range (negative: unlimited) clear space up to there. With discretize, one ray is
        cast per occupied cell, to its centre. clearing: float32 (M, 3), points whose rays clear the
        cells before them and mark nothing. Raises MapError when the origin is off the map, and from
        an engine that cannot take clearing points.
        """
        ...

    def integrate_depth(
        self,
        depth: Float32Array,
        intrinsics: CameraIntrinsics,
        map_from_camera: RigidTransform,
        *,
        max_range: float,
        discretize: bool,
        min_range: float = 0.0,
        stride: int = 1,
    ) -> ScanReport:
        """Take in the points of a depth image, those of `depth_to_points`, as one scan.

        depth: float32 (H, W) metres. Raises MessageError where image and intrinsics disagree,
        MapError when the camera is off the map.
        """
        ...

    def leaves(self) -> Leaves:
        """Return all known cells, pruned."""
        ...

    def encode(self, binary: bool) -> bytes:
        """Return the map, pruned, as the data section of a .bt (binary) or of a .ot file."""
        ...

    def restore(self, leaves: Leaves) -> None:
        """Replace the map by these cells."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def fill_box(self, low: Int64Array, high: Int64Array, log_odds: float) -> None:
        """Set the known cells with low <= key <= high to a value; NaN makes them unknown.

        low, high: int64 (3,) keys.
        """
        ...

    def keep_box(self, low: Int64Array, high: Int64Array) -> None:
        """Forget what lies outside low <= key <= high, except near the border.

        low, high: int64 (3,) keys. Cells less than a block of 8 outside may be kept.
        """
        ...

    def retune(self, config: MapperConfig) -> None:
        """Take over the sensor model of a changed configuration, for scans to come."""
        ...

    def memory_bytes(self) -> int:
        """Return the bytes that the map holds."""
        ...

    def warm_up(self) -> None:
        """Load and compile whatever the first scan would otherwise wait for."""
        ...


def create_engine(config: MapperConfig) -> MapEngine:
    """Return the engine that the configuration names. Raises MapError if it is not installed."""
    if config.engine == "octomap":
        from cnn_perception.mapping.octomap_engine import OctomapEngine

        return OctomapEngine(config)
    from cnn_perception.mapping.voxels.voxel_engine import VoxelEngine

    return VoxelEngine(config)


def check_origin(origin: Float32Array, resolution: float) -> None:
    """Raise MapError when a sensor's position, float32 (3,) metres, is off the map."""
    if not _on_map(origin[None, :], resolution)[0]:
        reach = KEY_ORIGIN * resolution
        raise OffMapError(
            f"the sensor is at {tuple(round(float(v), 3) for v in origin)} but a map of resolution "
            f"{resolution:g} m reaches from -{reach:g} to {reach:g} m: check the transform, or "
            "raise the resolution"
        )


def usable_points(
    points: Float32Array,
    origin: Float32Array,
    resolution: float,
    max_range: float,
    discretize: bool,
) -> tuple[Float32Array, ScanReport]:
    """Leave out the points that no map can hold, and say how many and why.

    A point off the map still clears space when it lies beyond max_range and the ray's shortened end
    is on the map; not with discretize, where OctoMap's keys of such points wrap around.
    """
    check_origin(origin, resolution)
    finite = np.isfinite(points).all(axis=1)
    kept = points if finite.all() else points[finite]
    inside = _on_map(kept, resolution)
    if max_range >= 0 and not discretize and not inside.all():
        far = np.flatnonzero(~inside)
        inside[far] = _on_map(_shortened(kept[far], origin, max_range), resolution)
    report = ScanReport(
        len(points), int(len(points) - np.count_nonzero(finite)), int(np.count_nonzero(~inside))
    )
    return (kept if inside.all() else kept[inside]), report


def _on_map(points: Float32Array, resolution: float) -> BoolArray:
    keys = np.floor((1.0 / resolution) * points.astype(np.float64))
    on_map = (keys >= -KEY_ORIGIN) & (keys < KEY_ORIGIN)
    return np.asarray(on_map.all(axis=1), np.bool_)


def _shortened(points: Float32Array, origin: Float32Array, max_range: float) -> Float32Array:
    """Return the ends of rays cut to max_range; rays that are shorter stay as they are."""
    rays = points.astype(np.float64) - origin
    lengths = np.linalg.norm(rays, axis=1)
    scale = np.minimum(1.0, max_range / np.maximum(lengths, 1e-12))
    return np.asarray(origin + rays * scale[:, None], np.float32)
