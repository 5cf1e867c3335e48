"""The mapping engine `octomap`: the C++ library itself, through octomap-python, as a reference.

An OccupancyMap whose scans are taken in elsewhere needs no more of that than `PointTree` says.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.keys import on_map
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.scans import ScanReport
from cnn_perception.types import Float32Array

__all__ = ["OctomapTree", "PointTree", "new_tree", "set_sensor_model", "usable_points"]


class PointTree(Protocol):
    """What takes in points by OctoMap's rules, and gives cells."""

    def insert(
        self,
        points: Float32Array,
        origin: Float32Array,
        config: MapperConfig,
        clearing: Float32Array | None = None,
    ) -> ScanReport:
        """Take in one scan; see `OccupancyMap.insert_points`. Sensor model and range: `config`."""
        ...

    def leaves(self) -> Leaves:
        """Return all known cells, pruned."""
        ...

    def restore(self, payload: bytes) -> None:
        """Replace the map by that of a .ot data section; where that fails, it stays as it was."""
        ...

    def memory_bytes(self) -> int:
        """Return the bytes that the map holds."""
        ...


class OctomapTree:
    """OctoMap's OcTree behind the PointTree protocol.

    It holds Python's interpreter lock while it takes in a scan, so other threads of a node wait.
    Raises MapError where octomap-python is not installed.
    """

    def __init__(self, resolution: float) -> None:
        self._resolution = resolution
        self._tree = new_tree(resolution)

    def insert(
        self,
        points: Float32Array,
        origin: Float32Array,
        config: MapperConfig,
        clearing: Float32Array | None = None,
    ) -> ScanReport:
        """See PointTree. Raises MapError for clearing points."""
        if clearing is not None and len(clearing):
            raise MapError(
                "the mapping engine 'octomap' cannot take points that only clear, as the ground "
                "filter makes them: use the engine 'voxel'"
            )
        usable, report = usable_points(points, origin, config)
        set_sensor_model(self._tree, config)
        self._tree.insertPointCloud(
            np.ascontiguousarray(usable, np.float64),
            origin.astype(np.float64),
            maxrange=float(config.max_range),
            discretize=config.discretize,
        )
        return report

    def leaves(self) -> Leaves:
        """See PointTree."""
        # Not writeBinary, which turns the live tree into a maximum-likelihood one.
        return octomap_codec.decode_file(self._tree.write()).leaves

    def restore(self, payload: bytes) -> None:
        """See PointTree."""
        tree = new_tree(self._resolution)
        if payload:
            tree = type(tree).read(octomap_codec.wrap(payload, self._resolution, binary=False))
        self._tree = tree

    def memory_bytes(self) -> int:
        """See PointTree."""
        return int(self._tree.memoryUsage())


def new_tree(resolution: float) -> Any:
    """Return an empty octomap.OcTree. Raises MapError where octomap-python is not installed."""
    try:
        import octomap
    except ImportError as error:
        raise MapError(
            "octomap-python is not installed, which the mapping engine 'octomap' and benchmarks "
            "against it need: pip install octomap-python, or use the engine 'voxel'"
        ) from error
    return octomap.OcTree(resolution)


def set_sensor_model(tree: Any, config: MapperConfig) -> None:
    """Give an octomap.OcTree the configured sensor model."""
    tree.setProbHit(config.probability_hit)
    tree.setProbMiss(config.probability_miss)
    tree.setClampingThresMin(config.clamp_min)
    tree.setClampingThresMax(config.clamp_max)


def usable_points(
    points: Float32Array, origin: Float32Array, config: MapperConfig
) -> tuple[Float32Array, ScanReport]:
    """Leave out the points that no map can hold, and say how many and why.

    A point off the map still clears space when it lies beyond max_range and the ray's shortened end
    is on the map; not with discretize, where OctoMap's keys of such points wrap around.
    """
    finite = np.isfinite(points).all(axis=1)
    kept = points if finite.all() else points[finite]
    inside = on_map(kept, config.resolution)
    if config.max_range >= 0 and not config.discretize and not inside.all():
        far = np.flatnonzero(~inside)
        shortened = _shortened(kept[far], origin, config.max_range)
        inside[far] = on_map(shortened, config.resolution)
    report = ScanReport(
        len(points), int(len(points) - np.count_nonzero(finite)), int(np.count_nonzero(~inside))
    )
    return (kept if inside.all() else kept[inside]), report


def _shortened(points: Float32Array, origin: Float32Array, max_range: float) -> Float32Array:
    """Return the ends of rays cut to max_range; rays that are shorter stay as they are."""
    rays = points.astype(np.float64) - origin
    lengths = np.linalg.norm(rays, axis=1)
    scale = np.minimum(1.0, max_range / np.maximum(lengths, 1e-12))
    return np.asarray(origin + rays * scale[:, None], np.float32)
