"""A map as its outputs show it."""

from __future__ import annotations

from cnn_perception.mapping.grid import project
from cnn_perception.mapping.keys import TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.output_filters import OutputConfig, coarsen, split, without_speckles
from cnn_perception.mapping.voxels.column_map import ColumnMap
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import GridMap2D

__all__ = ["MapView"]


class MapView:
    """The cells and the projected map that an OccupancyMap publishes under an OutputConfig.

    `config` may be replaced at any time. However many outputs there are, the cells are computed
    once after each change of the map.
    """

    def __init__(self, mapper: OccupancyMap, config: OutputConfig) -> None:
        self.config = config
        self._mapper = mapper
        self._columns = ColumnMap()
        self._seen: tuple[Leaves, OutputConfig, tuple[float, float], Leaves] | None = None

    @property
    def resolution(self) -> float:
        """Edge of the map's finest cells, metres."""
        return self._mapper.config.resolution

    def warm_up(self) -> None:
        """Compile what the first incremental projection would otherwise wait for."""
        ColumnMap().project(VoxelStore(), self.resolution, (0.0, 1.0))

    def occupied(self) -> Leaves:
        """Return the occupied cells to be shown."""
        shown = self._shown()
        return self._sized(shown.select(shown.occupied))

    def free(self) -> Leaves:
        """Return the free cells to be shown."""
        shown = self._shown()
        return self._sized(shown.select(~shown.occupied))

    def projected_map(self) -> GridMap2D:
        """Return the map from above: a column is occupied if any cell shown in it is."""
        config = self.config
        min_size = (config.min_x_size, config.min_y_size)
        plain = config.max_depth == TREE_DEPTH and not config.filter_speckles
        if config.incremental_projection and plain:
            with self._mapper.blocks() as store:
                return self._columns.project(store, self.resolution, self._heights(), min_size)
        return project(self._shown(), self.resolution, config.max_depth, min_size)

    def _heights(self) -> tuple[float, float]:
        return self._mapper.config.occupancy_min_z, self._mapper.config.occupancy_max_z

    def _shown(self) -> Leaves:
        leaves, config, heights = self._mapper.leaves(), self.config, self._heights()
        seen = self._seen
        if seen is not None and seen[0] is leaves and seen[1:3] == (config, heights):
            return seen[3]
        shown = coarsen(leaves, config.max_depth)
        if config.filter_speckles:
            shown = without_speckles(shown, config.max_depth)
        shown = shown.between(self.resolution, *heights)
        self._seen = leaves, config, heights, shown
        return shown

    def _sized(self, leaves: Leaves) -> Leaves:
        return leaves if self.config.compress_map else split(leaves, self.config.max_depth)
