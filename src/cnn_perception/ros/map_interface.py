"""A map's topics and services, its publication, and the files that it is kept in."""

from __future__ import annotations

from typing import Any

from cnn_perception.errors import PerceptionError
from cnn_perception.mapping.map_view import MapView
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.output_filters import OutputConfig
from cnn_perception.parameters import MapperNodeConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.map_services import MapServices, save_path
from cnn_perception.ros.map_topics import MapTopics
from cnn_perception.ros.semantic_interface import SemanticInterface
from cnn_perception.ros.steady_timer import create_steady_timer
from cnn_perception.types import MapStatistics

__all__ = ["MapInterface"]


class MapInterface:
    """What a robot sees of a map.

    Everything that touches the map runs on the node's worker thread.
    """

    def __init__(self, node: PerceptionNode, mapper: OccupancyMap, frame_id: str) -> None:
        settings = node.config(MapperNodeConfig)
        self._node = node
        self._mapper = mapper
        self._view = MapView(mapper, node.config(OutputConfig))
        self._view.warm_up()
        self._topics = MapTopics(node, mapper, self._view, frame_id)
        self._services = MapServices(node, mapper, self._topics)
        self._statistics: MapStatistics | None = None
        self._autosave = settings.autosave_period > 0
        self._timers = [create_steady_timer(node, 1.0 / settings.publish_rate, self._tick)]
        if self._autosave:
            self._timers.append(
                create_steady_timer(node, settings.autosave_period, self._save_when_active)
            )

    def attach(self, semantics: SemanticInterface) -> None:
        """Let the classes of cells be shown, and forgotten when cells are."""
        self._services.semantics = self._topics.semantics = semantics

    def close(self) -> None:
        """Withdraw timers and services; the node withdraws the topics."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._services.close()

    def changed(self, stamp: Any = None) -> None:
        """Note that the map changed, by a frame with this stamp if there is one."""
        self._topics.changed(stamp)

    def forget(self) -> None:
        """Make the map empty; on the worker thread."""
        self._services.forget()

    def reconfigure(self) -> None:
        """Show the map by the changed settings."""
        self._view.config = self._node.config(OutputConfig)
        self._topics.changed()

    def publish(self) -> None:
        """Send the map on every topic that is read and not yet up to date."""
        if self._topics.publish():
            self._statistics = self._mapper.statistics()

    def describe(self) -> dict[str, str]:
        """Return the size of the map when it was last published."""
        if (size := self._statistics) is None:
            return {}
        return {
            "resolution": f"{size.resolution:g}",
            "occupied": str(size.occupied),
            "free": str(size.free),
            "bytes": str(size.memory_bytes),
        }

    def autosave(self) -> None:
        """Save the map if that is wanted; on the worker thread, or when it has ended."""
        if not self._autosave:
            return
        path = save_path(self._node.config(MapperNodeConfig))
        try:
            self._mapper.save(path)
        except PerceptionError as error:
            self._node.get_logger().error(f"the map was not saved: {error}")

    def _tick(self) -> None:
        if self._node.active:
            self._node.post(self.publish)

    def _save_when_active(self) -> None:
        if self._node.active:
            self._node.post(self.autosave)
