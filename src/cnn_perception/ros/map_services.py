"""A map's services, under octomap_server's names, and those that save and load it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TypeVar

import numpy as np
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_srvs.srv import Empty, Trigger

from cnn_perception.errors import MapError
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.parameters import MapperNodeConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.map_topics import MapTopics
from cnn_perception.ros.semantic_interface import SemanticInterface
from cnn_perception.ros.slow_services import outcome, withdraw

__all__ = ["MapServices", "load_path", "save_path"]

R = TypeVar("R")


def save_path(settings: MapperNodeConfig) -> Path:
    """Return the file that the map is saved to."""
    return Path(settings.save_path).expanduser().absolute()


def load_path(settings: MapperNodeConfig) -> Path:
    """Return the file that ~/load reads."""
    return Path(settings.load_path or settings.save_path).expanduser().absolute()


class MapServices:
    """Serves a map, clears, saves and loads it.

    All of that runs on the node's worker thread, between two frames. The callbacks are coroutines,
    so that the executor goes on meanwhile.
    """

    def __init__(self, node: PerceptionNode, mapper: OccupancyMap, topics: MapTopics) -> None:
        self._node = node
        self._mapper = mapper
        self._topics = topics
        self.semantics: SemanticInterface | None = None
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
                (Trigger, "~/load", self._load),
            )
        ]

    def close(self) -> None:
        """Withdraw the services."""
        for service in self._services:
            withdraw(self._node, service)

    def forget(self) -> None:
        """Make the map empty; on the worker thread."""
        self._mapper.reset()
        self._replaced()

    def load(self, path: Path) -> None:
        """Replace the map by that of a file; on the worker thread. Raises MapError."""
        self._mapper.load(path)
        self._replaced()

    def _replaced(self) -> None:
        if self.semantics is not None:
            self.semantics.forget()
        self._topics.changed()

    async def _on_worker(self, job: Callable[[], R]) -> R:
        while True:
            with contextlib.suppress(CancelledError):  # the worker was stopped: then here and now
                return await outcome(self._node, self._node.worker.call(job))

    async def _get_binary(
        self, request: GetOctomap.Request, response: GetOctomap.Response
    ) -> GetOctomap.Response:
        response.map = await self._on_worker(self._topics.binary)
        return response

    async def _get_full(
        self, request: GetOctomap.Request, response: GetOctomap.Response
    ) -> GetOctomap.Response:
        response.map = await self._on_worker(self._topics.full)
        return response

    async def _clear_box(
        self, request: BoundingBoxQuery.Request, response: BoundingBoxQuery.Response
    ) -> BoundingBoxQuery.Response:
        low, high = (np.array([p.x, p.y, p.z]) for p in (request.min, request.max))

        def clear() -> None:
            forget = self._node.config(MapperNodeConfig).clear_to == "unknown"
            self._mapper.clear_box(low, high, forget=forget)
            if self.semantics is not None:
                self.semantics.forget_box(low, high)
            self._topics.changed()

        try:
            await self._on_worker(clear)
        except MapError as error:
            # The service's type has no room for an answer.
            self._node.get_logger().error(f"clear_bbox: {error}")
        return response

    async def _reset(self, request: Empty.Request, response: Empty.Response) -> Empty.Response:
        await self._on_worker(self.forget)
        return response

    async def _save(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        path = save_path(self._node.config(MapperNodeConfig))
        return await self._tried(
            response, lambda: self._mapper.save(path), f"saved to {path}", f"{path} was not written"
        )

    async def _load(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        path = load_path(self._node.config(MapperNodeConfig))
        return await self._tried(
            response, lambda: self.load(path), f"loaded {path}", "the map stays as it is"
        )

    async def _tried(
        self, response: Trigger.Response, job: Callable[[], None], done: str, failed: str
    ) -> Trigger.Response:
        """Run a job and answer with how it went."""
        try:
            await self._on_worker(job)
        except (MapError, OSError) as error:
            response.success, response.message = False, f"{failed}: {error}"
        else:
            response.success, response.message = True, done
        return response
