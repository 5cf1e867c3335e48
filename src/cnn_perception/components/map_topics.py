"""A map's topics, under octomap_server's names, and those of its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_perception.components.component import Output, Topic
from cnn_perception.components.map_cubes import (
    class_cubes,
    height_palette,
    height_shades,
    labelled_points,
    leaf_cubes,
)
from cnn_perception.errors import PerceptionError
from cnn_perception.mapping.files.color_codec import COLOR_TREE
from cnn_perception.mapping.map_view import MapView
from cnn_perception.mapping.output_filters import OutputConfig
from cnn_perception.mapping.semantic.semantics import LabelledCells
from cnn_perception.parameters import MapColors, MapperNodeConfig
from cnn_perception.types import Header, MapStatistics

if TYPE_CHECKING:
    from cnn_perception.components.mapper import MapperComponent

__all__ = ["MapTopics"]

_OCTOMAP = "octomap_msgs/msg/Octomap"
_MARKERS = "visualization_msgs/msg/MarkerArray"
_CLOUD = "sensor_msgs/msg/PointCloud2"


class MapTopics:
    """Publishes a map to whoever reads it.

    A topic is encoded only when someone reads it and the map, or how it is shown, has changed since
    it was last sent: a late reader gets the present map within a period, and an idle map costs
    nothing.
    """

    def __init__(self, mapper: MapperComponent, view: MapView) -> None:
        self._mapper, self._map, self._view = mapper, mapper.occupancy, view
        self._stamp_ns = 0
        self._version = 0
        self._sent: dict[str, tuple[int, int]] = {}
        self._labelled: tuple[tuple[int, int], LabelledCells] | None = None
        self._statistics: MapStatistics | None = None
        latch = mapper.config(MapperNodeConfig).latch
        topics = [
            ("octomap_binary", _OCTOMAP, self.binary, latch, True),
            ("octomap_full", _OCTOMAP, self.full, latch, True),
            ("occupied_cells_vis_array", _MARKERS, self._occupied_markers, latch, False),
            ("free_cells_vis_array", _MARKERS, self._free_markers, latch, False),
            ("octomap_point_cloud_centers", _CLOUD, self._centers, latch, False),
            ("projected_map", "nav_msgs/msg/OccupancyGrid", self._grid, latch, True),
        ]
        labels = []
        if mapper.classes is not None:
            labels = [Topic("~/label_info", "vision_msgs/msg/LabelInfo", True, 1, recorded=False)]
            topics += [
                ("semantic_cells_vis_array", _MARKERS, self._class_markers, True, False),
                ("semantic_point_cloud", _CLOUD, self._class_cloud, True, False),
                ("color_octomap", _OCTOMAP, self._color_octomap, True, True),
            ]
        self._makers: dict[str, Callable[[], Any]] = {name: make for name, _, make, _, _ in topics}
        self.topics = [
            *(Topic(name, kind, latched, 1, kept) for name, kind, _, latched, kept in topics),
            *labels,
        ]

    def changed(self, stamp_ns: int | None = None) -> None:
        """Note that the map changed, or how it is shown; by a scan with this stamp, if any."""
        if stamp_ns is not None:
            self._stamp_ns = stamp_ns
        self._version += 1

    def reconfigure(self) -> None:
        """Show the map by the changed settings."""
        self._view.config = self._mapper.config(OutputConfig)
        self.changed()

    def publish(self) -> Iterator[Output]:
        """Yield the map for every topic that is read and not yet up to date."""
        version, sent = self._present, False
        if version == (0, 0):
            return
        for name, make in self._makers.items():
            if self._sent.get(name) == version or not self._mapper.reads(name):
                continue
            self._sent[name], sent = version, True
            try:
                message = make()
            except PerceptionError as error:
                # One output that cannot be made must not cost the others.
                self._mapper.warn_rarely(name, f"{name} not sent: {error}")
                continue
            if message is not None:
                yield Output(name, message)
        if sent:
            self._statistics = self._map.statistics()

    def describe(self) -> dict[str, Any]:
        """Return the size of the map when it was last published."""
        if (size := self._statistics) is None:
            return {}
        return {
            "resolution": size.resolution,
            "occupied": size.occupied,
            "free": size.free,
            "bytes": size.memory_bytes,
        }

    def binary(self) -> Any:
        """Return the map as occupied and free cells, pruned."""
        return self._octomap(self._map.binary_payload(), binary=True)

    def full(self) -> Any:
        """Return the map with its log-odds, and in colors if colored_map says so."""
        if self._mapper.classes is not None and self._mapper.config(MapColors).colored_map:
            return self._color_octomap()
        return self._octomap(self._map.full_payload(), binary=False)

    @property
    def _present(self) -> tuple[int, int]:
        classes = self._mapper.classes
        return self._version, 0 if classes is None else classes.version

    def _header(self) -> Any:
        # A new one each time: others still hold the last one while they send it.
        return self._mapper.encode.header(Header(self._stamp_ns, self._mapper.frame_id))

    def _octomap(self, payload: bytes, *, binary: bool, **kind: str) -> Any:
        resolution = self._view.resolution
        return self._mapper.encode.octomap(
            self._header(), payload, resolution, binary=binary, **kind
        )

    def _cubes(self, *arguments: Any) -> Any:
        cubes = leaf_cubes(arguments[0], self._view.resolution, *arguments[1:])
        return self._mapper.encode.cubes(self._header(), cubes)

    def _occupied_markers(self) -> Any:
        colors, cells = self._mapper.config(MapColors), self._view.occupied()
        if colors.use_height_map:
            shades = height_shades(cells, self._map.leaves())
            return self._cubes(cells, height_palette(colors.color_factor), shades)
        return self._cubes(cells, np.array([colors.occupied], np.float32))

    def _free_markers(self) -> Any:
        if not self._mapper.config(MapperNodeConfig).publish_free_space:
            return None
        palette = np.array([self._mapper.config(MapColors).free], np.float32)
        return self._cubes(self._view.free(), palette)

    def _centers(self) -> Any:
        cells = self._view.occupied().cells(self._view.resolution)
        return self._mapper.encode.point_cloud(self._header(), cells.centers)

    def _grid(self) -> Any:
        return self._mapper.encode.occupancy_grid(self._header(), self._view.projected_map())

    # --- the classes

    def _cells(self) -> LabelledCells:
        """Return the cells with classes, found once for each change."""
        classes, version = self._classes, self._present
        if self._labelled is None or self._labelled[0] != version:
            self._labelled = version, classes.labelled()
        return self._labelled[1]

    def _visible(self) -> LabelledCells:
        config = self._map.config
        return self._cells().between(
            config.resolution, config.occupancy_min_z, config.occupancy_max_z
        )

    @property
    def _classes(self) -> Any:
        if self._mapper.classes is None:
            raise TypeError("the map has no classes")
        return self._mapper.classes.map

    def _class_markers(self) -> Any:
        layer = self._classes.layer
        names = {i: name for i, name in layer.labels.items() if name not in layer.config.ignore}
        cubes = class_cubes(self._visible(), self._view.resolution, self._classes.colors, names)
        return self._mapper.encode.cubes(self._header(), cubes)

    def _class_cloud(self) -> Any:
        points = labelled_points(self._visible(), self._view.resolution, self._classes.colors)
        return self._mapper.encode.point_cloud(self._header(), points)

    def _color_octomap(self) -> Any:
        payload = self._classes.color_payload(self._cells())
        return self._octomap(payload, binary=False, kind=COLOR_TREE)
