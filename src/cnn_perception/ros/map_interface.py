"""A map's topics and services, under the names that octomap_server gave them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.task import Future
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Empty, Trigger
from visualization_msgs.msg import MarkerArray

from cnn_perception.errors import MapError
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.ros import encode
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.qos import LATCHED
from cnn_perception.ros.semantic_interface import SemanticInterface
from cnn_perception.ros.steady_timer import create_steady_timer
from cnn_perception.types import Cells, Float32Array, MapStatistics, UInt8Array

__all__ = ["MapInterface"]

R = TypeVar("R")
_FREE_COLOR: Float32Array = np.array([[0.0, 1.0, 0.0, 0.15]], np.float32)
_LEVELS = np.arange(256, dtype=np.uint8)[:, None]
_TURBO = cv2.applyColorMap(_LEVELS, cv2.COLORMAP_TURBO)[:, 0, ::-1]
_HEIGHT_COLORS: Float32Array = np.insert(_TURBO / np.float32(255), 3, 1.0, axis=1)


class MapInterface:
    """Publishes a map to whoever reads it, and serves it.

    Everything that touches the map runs on the node's worker thread. A topic is encoded only when
    someone subscribes and the map has changed since it was last sent: a late reader gets the
    present map within a period, and an idle map costs nothing. rate: publications per second.
    """

    def __init__(
        self,
        node: PerceptionNode,
        mapper: Mapper,
        frame_id: str,
        rate: float,
        save_path: Callable[[], str],
    ) -> None:
        self._node = node
        self._mapper = mapper
        self._save_path = save_path
        self._header = Header(frame_id=frame_id)
        self._version = 0
        self.statistics: MapStatistics | None = None
        self.semantics: SemanticInterface | None = None
        self._topics: list[tuple[LifecyclePublisher[Any], Callable[[], Any]]] = [
            (node.advertise(kind, topic, LATCHED), make)
            for kind, topic, make in (
                (Octomap, "octomap_binary", self._binary),
                (Octomap, "octomap_full", self._full),
                (MarkerArray, "occupied_cells_vis_array", self._occupied_markers),
                (MarkerArray, "free_cells_vis_array", self._free_markers),
                (PointCloud2, "octomap_point_cloud_centers", self._centers),
                (OccupancyGrid, "projected_map", self._grid),
            )
        ]
        self._sent = [0] * len(self._topics)
        # A group of their own: while a service waits for the worker, images must still come in.
        group = MutuallyExclusiveCallbackGroup()
        self._services = [
            node.create_service(kind, name, answer, callback_group=group)
            for kind, name, answer in (
                (GetOctomap, "octomap_binary", self._get_binary),
                (GetOctomap, "octomap_full", self._get_full),
                (BoundingBoxQuery, "~/clear_bbox", self._clear_box),
                (Empty, "~/reset", self._reset),
                (Trigger, "~/save", self._save),
            )
        ]

        self._timer = create_steady_timer(node, 1.0 / rate, self._tick)

    def close(self) -> None:
        """Withdraw the services; the node withdraws the topics."""
        self._node.destroy_timer(self._timer)
        for service in self._services:
            self._node.destroy_service(service)

    def changed(self, stamp: Any) -> None:
        """Note that a frame with this stamp entered the map."""
        self._header.stamp = stamp
        self._version += 1

    def _tick(self) -> None:
        if self._node.active:
            self._node.post(self.publish)

    def publish(self) -> None:
        """Send the map on every topic that is read and not yet up to date."""
        stale = [
            i
            for i, (publisher, _) in enumerate(self._topics)
            if self._sent[i] != self._version and publisher.get_subscription_count()
        ]
        for i in stale:
            publisher, make = self._topics[i]
            publisher.publish(make())
            self._sent[i] = self._version
        if stale:
            self.statistics = self._mapper.statistics()

    # --- messages

    def _binary(self) -> Octomap:
        payload, resolution = self._mapper.binary_payload(), self._mapper.config.resolution
        return encode.octomap(self._header, payload, resolution, binary=True)

    def _full(self) -> Octomap:
        payload, resolution = self._mapper.full_payload(), self._mapper.config.resolution
        return encode.octomap(self._header, payload, resolution, binary=False)

    def _occupied_markers(self) -> MarkerArray:
        cells = self._mapper.occupied_cells()
        return encode.cell_markers(self._header, cells, _HEIGHT_COLORS, _height_level(cells))

    def _free_markers(self) -> MarkerArray:
        return encode.cell_markers(self._header, self._mapper.free_cells(), _FREE_COLOR)

    def _centers(self) -> PointCloud2:
        return encode.point_cloud(self._header, self._mapper.occupied_cells().centers)

    def _grid(self) -> OccupancyGrid:
        return encode.occupancy_grid(self._header, self._mapper.projected_map())

    # --- services: coroutines, so that the executor goes on while the worker is busy

    async def _on_worker(self, job: Callable[[], R]) -> R:
        done: Future[Any] = Future(executor=self._node.executor)
        # A done callback wakes the executor; awaiting alone does not, and a spin() would sleep on.
        done.add_done_callback(lambda _: None)
        self._node.worker.call(job).add_done_callback(done.set_result)
        finished: Any = await done
        result: R = finished.result()
        return result

    async def _get_binary(
        self, request: GetOctomap.Request, response: GetOctomap.Response
    ) -> GetOctomap.Response:
        response.map = await self._on_worker(self._binary)
        return response

    async def _get_full(
        self, request: GetOctomap.Request, response: GetOctomap.Response
    ) -> GetOctomap.Response:
        response.map = await self._on_worker(self._full)
        return response

    async def _clear_box(
        self, request: BoundingBoxQuery.Request, response: BoundingBoxQuery.Response
    ) -> BoundingBoxQuery.Response:
        low, high = (np.array([p.x, p.y, p.z]) for p in (request.min, request.max))
        try:
            await self._on_worker(lambda: self._mapper.clear_box(low, high))
            if self.semantics is not None:
                await self._on_worker(partial(self.semantics.forget_box, low, high))
        except MapError as error:
            # The service's type has no room for an answer.
            self._node.get_logger().error(f"clear_bbox: {error}")
        self._version += 1
        return response

    async def _reset(self, request: Empty.Request, response: Empty.Response) -> Empty.Response:
        await self._on_worker(self._mapper.reset)
        if self.semantics is not None:
            await self._on_worker(self.semantics.forget)
        self._version += 1
        return response

    async def _save(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        path = Path(self._save_path()).expanduser().absolute()
        try:
            await self._on_worker(lambda: self._mapper.save(path))
        except (MapError, OSError) as error:
            response.success, response.message = False, f"{path} was not written: {error}"
        else:
            response.success, response.message = True, f"saved to {path}"
        return response


def _height_level(cells: Cells) -> UInt8Array:
    """Return 0 for the lowest cell to 255 for the highest."""
    z = cells.centers[:, 2]
    span = float(np.ptp(z)) if len(z) else 0.0
    level = (z - z.min()) / span if span > 0 else np.zeros_like(z)
    return (level * 255).astype(np.uint8)
