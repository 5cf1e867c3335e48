"""The services by which planners ask the map: occupancy, rays, distances (cnn_perception_msgs)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from rclpy.callback_groups import ReentrantCallbackGroup
from std_msgs.msg import Header

from cnn_perception.errors import MapError, PerceptionError
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.slow_services import fill, withdraw
from cnn_perception.types import Float32Array, Float64Array, RigidTransform

try:
    from cnn_perception_msgs import srv
except ImportError:
    srv = None

__all__ = ["QueryInterface", "serve_queries"]

Answer = Callable[[Any, Any], Coroutine[Any, Any, Any]]
Fill = Callable[[Any, Any, RigidTransform], None]

_THREADS = 4  # so that one who asks in an unknown frame does not keep the others waiting


def serve_queries(
    node: PerceptionNode,
    mapper: OccupancyMap,
    transforms: TransformBuffer,
    frame_id: str,
    timeout_s: Callable[[], float],
) -> QueryInterface | None:
    """Offer the query services; say so and return None where their package is not installed."""
    if srv is None:
        node.get_logger().info(
            "no query services: the package cnn_perception_msgs is not installed; docs/robot.md "
            "says how to build it"
        )
        return None
    return QueryInterface(node, mapper, transforms, frame_id, timeout_s)


class QueryInterface:
    """Answers requests in whatever frame and at whatever time they come.

    Threads of its own wait for transforms, up to timeout_s() seconds, and ask the map, so that
    neither scans nor other callbacks wait for questions, nor a planner for the camera's transform.
    frame_id: the map's.
    """

    def __init__(
        self,
        node: PerceptionNode,
        mapper: OccupancyMap,
        transforms: TransformBuffer,
        frame_id: str,
        timeout_s: Callable[[], float],
    ) -> None:
        self._node = node
        self._mapper = mapper
        self._transforms = transforms
        self._frame_id = frame_id
        self._timeout_s = timeout_s
        with mapper.queries() as queries:
            queries.warm_up()
        self._threads = ThreadPoolExecutor(
            _THREADS, thread_name_prefix=f"{node.get_name()} queries"
        )
        group = ReentrantCallbackGroup()
        self._services = [
            node.create_service(kind, name, self._answer(fill_in), callback_group=group)
            for kind, name, fill_in in (
                (srv.GetOccupancy, "~/get_occupancy", self._occupancy),
                (srv.GetBoxOccupancy, "~/get_box_occupancy", self._boxes),
                (srv.CastRays, "~/cast_rays", self._rays),
                (srv.GetObstacleDistance, "~/get_obstacle_distance", self._distances),
            )
        ]

    def close(self) -> None:
        """Withdraw the services."""
        for service in self._services:
            withdraw(self._node, service)
        self._threads.shutdown(cancel_futures=True)

    def _answer(self, fill_in: Fill) -> Answer:
        """Return a service callback that fills in a response, or the reason why there is none."""

        def work(request: Any, response: Any) -> None:
            header, pose = self._locate(request.header)
            fill_in(request, response, pose)
            if hasattr(response, "header"):
                response.header = header

        async def answer(request: Any, response: Any) -> Any:
            done = self._threads.submit(work, request, response)
            cancelled = "the mapper was cleaned up before it could answer"
            return await fill(self._node, response, done, cancelled)

        return answer

    def _locate(self, header: Header) -> tuple[Header, RigidTransform]:
        """Return a request's header, the defaults filled in, and map_from_frame at its stamp."""
        frame_id = header.frame_id.lstrip("/") or self._frame_id
        stamp = header.stamp
        if stamp_to_ns(stamp) == 0:
            stamp = self._node.get_clock().now().to_msg()
        pose = self._transforms.wait(
            self._frame_id, frame_id, stamp_to_ns(stamp), self._timeout_s()
        )
        return Header(stamp=stamp, frame_id=frame_id), pose

    # --- the services: request, response, map_from_request

    def _occupancy(self, request: Any, response: Any, pose: RigidTransform) -> None:
        with self._mapper.queries() as queries:
            found = queries.occupancy(_moved(_vectors(request.points), pose))
        response.states = found.states.tolist()
        response.probabilities = found.probabilities.tolist()

    def _boxes(self, request: Any, response: Any, pose: RigidTransform) -> None:
        boxes = [_pose(index, message) for index, message in enumerate(request.poses)]
        sizes = _one_for_each("size", _vectors(request.sizes), "pose", len(boxes))
        centers = _vectors(message.position for message in request.poses)
        rotations = np.array([pose.rotation @ box.rotation for box in boxes]).reshape(-1, 3, 3)
        with self._mapper.queries() as queries:
            found = queries.oriented_boxes(_moved(centers, pose), sizes, rotations)
        response.states = found.states.tolist()
        response.occupied = found.occupied.tolist()
        response.free = found.free.tolist()
        response.unknown = found.unknown.tolist()

    def _rays(self, request: Any, response: Any, pose: RigidTransform) -> None:
        directions = _vectors(request.directions) @ pose.rotation.T
        origins = _one_for_each("origin", _vectors(request.origins), "direction", len(directions))
        with self._mapper.queries() as queries:
            found = queries.cast_rays(
                _moved(origins, pose),
                directions,
                ignore_unknown=request.ignore_unknown,
                max_range=request.max_range,
            )
        back = pose.inverse()
        response.stops = found.stops.tolist()
        response.distances = found.distances.tolist()
        response.points = _points(_moved(found.points, back))
        response.cells = _points(_moved(found.cells, back))

    def _distances(self, request: Any, response: Any, pose: RigidTransform) -> None:
        with self._mapper.queries() as queries:
            found = queries.nearest_obstacles(
                _moved(_vectors(request.points), pose),
                np.inf if request.max_distance == 0 else request.max_distance,
                unknown_as_obstacle=request.unknown_as_obstacle,
            )
        response.distances = found.distances.tolist()
        response.obstacles = _points(_moved(found.cells, pose.inverse()))


def _vectors(messages: Iterable[Any]) -> Float64Array:
    """Return Points or Vector3s as float64 (N, 3)."""
    rows = [(message.x, message.y, message.z) for message in messages]
    return np.array(rows, np.float64).reshape(-1, 3)


def _points(vectors: Float64Array) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in vectors.tolist()]


def _moved(points: Float32Array | Float64Array, pose: RigidTransform) -> Float64Array:
    with np.errstate(invalid="ignore", over="ignore"):  # refused by name afterwards
        return np.asarray(points @ pose.rotation.T + pose.translation, np.float64)


def _pose(index: int, message: Any) -> RigidTransform:
    p, q = message.position, message.orientation
    try:
        return RigidTransform.from_quaternion((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
    except PerceptionError as error:
        raise MapError(
            f"pose {index} has position ({p.x:g}, {p.y:g}, {p.z:g}) and orientation "
            f"({q.x:g}, {q.y:g}, {q.z:g}, {q.w:g}): give finite numbers and a quaternion of length "
            "1, such as (0, 0, 0, 1)"
        ) from error


def _one_for_each(what: str, values: Float64Array, other: str, count: int) -> Float64Array:
    """Return as many values as there are others, of a single one copies."""
    if len(values) not in (1, count):
        raise MapError(f"{len(values)} {what}s for {count} {other}s: give one for all, or for each")
    return values if len(values) == count else np.repeat(values, count, axis=0)
