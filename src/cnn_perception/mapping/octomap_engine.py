"""The mapping engine `octomap`: the C++ library itself, through octomap-python."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.engine import ScanReport, usable_points
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.plain_engine import PlainEngine
from cnn_perception.types import Float32Array

__all__ = ["OctomapEngine"]


class OctomapEngine(PlainEngine):
    """OctoMap's OcTree behind the MapEngine protocol.

    It holds Python's interpreter lock while it takes in a scan, so other threads of a node wait.
    """

    def __init__(self, config: MapperConfig) -> None:
        self._config = config
        self._resolution = config.resolution
        self._tree = self._configured(_octomap().OcTree(self._resolution))

    def integrate(
        self,
        points: Float32Array,
        origin: Float32Array,
        max_range: float,
        discretize: bool,
        clearing: Float32Array | None = None,
    ) -> ScanReport:
        """See MapEngine."""
        if clearing is not None and len(clearing):
            raise MapError(
                "the mapping engine 'octomap' cannot take points that only clear, as the ground "
                "filter makes them: use the engine 'voxel'"
            )
        usable, report = usable_points(points, origin, self._resolution, max_range, discretize)
        self._tree.insertPointCloud(
            np.ascontiguousarray(usable, np.float64),
            origin.astype(np.float64),
            maxrange=float(max_range),
            discretize=discretize,
        )
        return report

    def leaves(self) -> Leaves:
        """See MapEngine."""
        # Not writeBinary, which turns the live tree into a maximum-likelihood one.
        return octomap_codec.decode_file(self._tree.write()).leaves

    def restore(self, leaves: Leaves) -> None:
        """See MapEngine."""
        content = octomap_codec.encode_file(leaves, self._resolution, binary=False)
        self._tree = self._configured(_octomap().OcTree.read(content))

    def clear(self) -> None:
        """See MapEngine."""
        self._tree = self._configured(_octomap().OcTree(self._resolution))

    def retune(self, config: MapperConfig) -> None:
        """See MapEngine."""
        self._config = config
        self._configured(self._tree)

    def memory_bytes(self) -> int:
        """See MapEngine."""
        return int(self._tree.memoryUsage())

    def warm_up(self) -> None:
        """See MapEngine."""
        octomap_codec.warm_up()

    def _configured(self, tree: Any) -> Any:
        """Give a tree the configured sensor model."""
        tree.setProbHit(self._config.probability_hit)
        tree.setProbMiss(self._config.probability_miss)
        tree.setClampingThresMin(self._config.clamp_min)
        tree.setClampingThresMax(self._config.clamp_max)
        return tree


def _octomap() -> Any:
    try:
        import octomap
    except ImportError as error:
        raise MapError(
            "the mapping engine 'octomap' needs octomap-python: pip install octomap-python"
        ) from error
    return octomap
