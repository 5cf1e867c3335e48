"""A map's topics, under octomap_server's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from rclpy.lifecycle.publisher import LifecyclePublisher
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from cnn_perception.errors import PerceptionError
from cnn_perception.mapping.map_view import MapView
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.parameters import MapColors, MapperNodeConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.encode import encode
from cnn_perception.ros.height_colors import height_palette, height_shades
from cnn_perception.ros.marker_stream import cell_markers
from cnn_perception.ros.qos import LATCHED, LATEST
from cnn_perception.ros.semantic_interface import SemanticInterface

__all__ = ["MapTopics"]


class MapTopics:
    """Publishes a map to whoever reads it.

    A topic is encoded only when someone subscribes and the map, or how it is shown, has changed
    since it was last sent: a late reader gets the present map within a period, and an idle map
    costs nothing.
    """

    def __init__(
        self, node: PerceptionNode, mapper: OccupancyMap, view: MapView, frame_id: str
    ) -> None:
        self._node = node
        self._mapper = mapper
        self._view = view
        self.semantics: SemanticInterface | None = None
        self._header = Header(frame_id=frame_id)
        self._version = 0
        qos = LATCHED if node.config(MapperNodeConfig).latch else LATEST
        self._topics: list[tuple[LifecyclePublisher[Any], Callable[[], Any]]] = [
            (node.advertise(kind, topic, qos), make)
            for kind, topic, make in (
                (Octomap, "octomap_binary", self.binary),
                (Octomap, "octomap_full", self.full),
                (MarkerArray, "occupied_cells_vis_array", self._occupied_markers),
                (MarkerArray, "free_cells_vis_array", self._free_markers),
                (PointCloud2, "octomap_point_cloud_centers", self._centers),
                (OccupancyGrid, "projected_map", self._grid),
            )
        ]
        self._sent = [0] * len(self._topics)

    def changed(self, stamp: Any = None) -> None:
        """Note that the map changed, or how it is shown; by a frame with this stamp, if any."""
        if stamp is not None:
            self._header.stamp = stamp
        self._version += 1

    def publish(self) -> bool:
        """Send the map on every topic that is read and not yet up to date; true if on any."""
        stale = [
            i
            for i, (publisher, _) in enumerate(self._topics)
            if self._sent[i] != self._version and publisher.get_subscription_count()
        ]
        for i in stale:
            publisher, make = self._topics[i]
            self._sent[i] = self._version
            try:
                message = make()
            except PerceptionError as error:
                # One output that cannot be made must not cost the others.
                name = publisher.topic_name
                self._node.log_rarely(name, f"{name} not sent: {error}")
                continue
            if message is not None:
                publisher.publish(message)
        return bool(stale)

    def binary(self) -> Octomap:
        """Return the map as occupied and free cells, pruned."""
        payload, resolution = self._mapper.binary_payload(), self._mapper.config.resolution
        return encode.octomap(self._header, payload, resolution, binary=True)

    def full(self) -> Octomap:
        """Return the map with its log-odds, and in colours if colored_map says so."""
        if self.semantics is not None and self._node.config(MapColors).colored_map:
            return self.semantics.color_octomap()
        payload, resolution = self._mapper.full_payload(), self._mapper.config.resolution
        return encode.octomap(self._header, payload, resolution, binary=False)

    def _occupied_markers(self) -> bytes | MarkerArray:
        colors, cells = self._node.config(MapColors), self._view.occupied()
        palette, shades = np.array([colors.occupied], np.float32), None
        if colors.use_height_map:
            palette = height_palette(colors.color_factor)
            shades = height_shades(cells, self._mapper.leaves())
        return cell_markers(self._header, cells, self._view.resolution, palette, shades)

    def _free_markers(self) -> bytes | MarkerArray | None:
        if not self._node.config(MapperNodeConfig).publish_free_space:
            return None
        palette = np.array([self._node.config(MapColors).free], np.float32)
        return cell_markers(self._header, self._view.free(), self._view.resolution, palette)

    def _centers(self) -> PointCloud2:
        cells = self._view.occupied().cells(self._view.resolution)
        return encode.point_cloud(self._header, cells.centers)

    def _grid(self) -> OccupancyGrid:
        return encode.occupancy_grid(self._header, self._view.projected_map())
