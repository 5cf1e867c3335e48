"""The services by which planners ask the map: occupancy, rays, distances (cnn_perception_msgs)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_perception.components.component import Service
from cnn_perception.errors import MapError, PerceptionError
from cnn_perception.mapping.planning.queries import MapQueries
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.parameters import MapperNodeConfig
from cnn_perception.types import Float32Array, Float64Array, RigidTransform

if TYPE_CHECKING:
    from cnn_perception.components.mapper import MapperComponent

__all__ = ["query_services"]

Points = Callable[[Float64Array], list[Any]]
Fill = Callable[[Points, MapQueries, Any, Any, RigidTransform], None]


def query_services(mapper: MapperComponent) -> Sequence[Service]:
    """Return the services: requests in whatever frame, about whatever time they come with.

    Each is answered beside the scans, and waits for its transform no longer than scans do.
    """
    with mapper.occupancy.queries() as queries:
        queries.warm_up()
    points = mapper.encode.points

    def answer(fill: Fill) -> Callable[[Any, Any], None]:
        def work(request: Any, response: Any) -> None:
            header = request.header
            frame_id = header.frame_id.lstrip("/") or mapper.frame_id
            stamp_ns = stamp_to_ns(header.stamp)
            pose = mapper.transforms.lookup(mapper.frame_id, frame_id, stamp_ns)
            with mapper.occupancy.queries() as queries:
                fill(points, queries, request, response, pose)
            if hasattr(response, "header"):
                response.header.stamp, response.header.frame_id = header.stamp, frame_id

        return work

    return [
        Service(
            name,
            f"cnn_perception_msgs/srv/{kind}",
            answer(fill),
            concurrent=True,
            patience_s=lambda: mapper.config(MapperNodeConfig).transform_timeout,
            later=False,
        )
        for name, kind, fill in (
            ("~/get_occupancy", "GetOccupancy", _occupancy),
            ("~/get_box_occupancy", "GetBoxOccupancy", _boxes),
            ("~/cast_rays", "CastRays", _rays),
            ("~/get_obstacle_distance", "GetObstacleDistance", _distances),
        )
    ]


# --- the services: request, response, map_from_request


def _occupancy(
    points: Points, queries: MapQueries, request: Any, response: Any, pose: RigidTransform
) -> None:
    found = queries.occupancy(_moved(_vectors(request.points), pose))
    response.states = found.states.tolist()
    response.probabilities = found.probabilities.tolist()


def _boxes(
    points: Points, queries: MapQueries, request: Any, response: Any, pose: RigidTransform
) -> None:
    boxes = [_pose(index, message) for index, message in enumerate(request.poses)]
    sizes = _one_for_each("size", _vectors(request.sizes), "pose", len(boxes))
    centers = _vectors(message.position for message in request.poses)
    rotations = np.array([pose.rotation @ box.rotation for box in boxes]).reshape(-1, 3, 3)
    found = queries.oriented_boxes(_moved(centers, pose), sizes, rotations)
    response.states = found.states.tolist()
    response.occupied = found.occupied.tolist()
    response.free = found.free.tolist()
    response.unknown = found.unknown.tolist()


def _rays(
    points: Points, queries: MapQueries, request: Any, response: Any, pose: RigidTransform
) -> None:
    directions = _vectors(request.directions) @ pose.rotation.T
    origins = _one_for_each("origin", _vectors(request.origins), "direction", len(directions))
    found = queries.cast_rays(
        _moved(origins, pose),
        directions,
        ignore_unknown=request.ignore_unknown,
        max_range=request.max_range,
    )
    back = pose.inverse()
    response.stops = found.stops.tolist()
    response.distances = found.distances.tolist()
    response.points = points(_moved(found.points, back))
    response.cells = points(_moved(found.cells, back))


def _distances(
    points: Points, queries: MapQueries, request: Any, response: Any, pose: RigidTransform
) -> None:
    found = queries.nearest_obstacles(
        _moved(_vectors(request.points), pose),
        np.inf if request.max_distance == 0 else request.max_distance,
        unknown_as_obstacle=request.unknown_as_obstacle,
    )
    response.distances = found.distances.tolist()
    response.obstacles = points(_moved(found.cells, pose.inverse()))


def _vectors(messages: Iterable[Any]) -> Float64Array:
    """Return Points or Vector3s as float64 (N, 3)."""
    rows = [(message.x, message.y, message.z) for message in messages]
    return np.array(rows, np.float64).reshape(-1, 3)


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
