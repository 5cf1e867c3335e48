"""The mapper's services for planners: a real wall is found where it is, in the planner's frame."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")
pytest.importorskip(
    "cnn_perception_msgs", reason="no cnn_perception_msgs: docs/robot.md says how to build it"
)

from cnn_perception_msgs import srv
from geometry_msgs.msg import Point, Pose, Quaternion, TransformStamped, Vector3
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from cnn_perception.components.mapper import MapperComponent
from cnn_perception.ros.encode import encode, interface
from cnn_perception.ros.qos import TRANSFORM_STATIC

RESOLUTION = 0.1
# The wall is 2 m in front of the sensor, which stands at (1, 2, 0.5) in the map, looking along +x.
SENSOR = (1.0, 2.0, 0.5)
WALL_X = SENSOR[0] + 2.0
# The robot stands before the wall, turned to the left: its right hand points to the wall.
ROBOT = (2.0, 2.0, 0.5)
LEFT = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))
CENTER = 0.5 * RESOLUTION


def edge(parent: str, child: str, xyz: Any, xyzw: Any = (0.0, 0.0, 0.0, 1.0)) -> Any:
    message = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
    t, r = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = xyz
    r.x, r.y, r.z, r.w = xyzw
    return message


def point(x: float, y: float, z: float) -> Point:
    return Point(x=float(x), y=float(y), z=float(z))


def numbers(message: Any) -> tuple[float, float, float]:
    return message.x, message.y, message.z


def pose(xyz: Any, xyzw: Any = (0.0, 0.0, 0.0, 1.0)) -> Pose:
    x, y, z, w = xyzw
    return Pose(position=point(*xyz), orientation=Quaternion(x=x, y=y, z=z, w=w))


class Planner:
    """Asks a mapper that has seen a wall."""

    def __init__(self, stage: Any, **parameters: Any) -> None:
        self.stage = stage
        remaps = ("-r", f"/tf:={stage.namespace}/tf", "-r", f"/tf_static:={stage.namespace}/static")
        self.node = stage.running(
            MapperComponent,
            "mapper",
            *remaps,
            **{"resolution": RESOLUTION, "source": "cloud", **parameters},
        )
        clouds = stage.speak(PointCloud2, "cloud_in")
        transforms = stage.speak(TFMessage, "static", TRANSFORM_STATIC)
        edges = [edge("map", "lidar", SENSOR), edge("map", "robot", ROBOT, LEFT)]
        transforms.publish(TFMessage(transforms=edges))
        sides = np.linspace(-0.475, 0.475, 20, dtype=np.float32)
        y, z = np.meshgrid(sides, sides)
        wall = np.stack([np.full_like(y, 2.05), y + 0.025, z + 0.025], axis=-1).reshape(-1, 3)
        header = Header(frame_id="lidar")
        header.stamp.sec = 3
        clouds.publish(encode.point_cloud(header, wall))
        stage.settled(self.node, 1)
        assert self.node.statistics.snapshot().processed == 1

    def ask(self, kind: str, service: str, frame_id: str = "", **fields: Any) -> Any:
        header = Header(frame_id=frame_id)
        request = getattr(srv, kind).Request(header=header, **fields)
        return self.stage.call(getattr(srv, kind), f"mapper/{service}", request)


def service_names(node: Any) -> set[str]:
    return {service.srv_name.rpartition("/")[2] for service in node.services}


def test_points_are_looked_up_in_the_frame_of_the_map(stage: Any) -> None:
    places = [point(WALL_X + CENTER, 2.05, 0.55), point(2.05, 2.05, 0.55), point(4, 2, 0.5)]
    answer = Planner(stage).ask("GetOccupancy", "get_occupancy", points=places)
    kinds = srv.GetOccupancy.Response
    assert answer.success, answer.message
    assert list(answer.states) == [kinds.OCCUPIED, kinds.FREE, kinds.UNKNOWN]
    assert answer.probabilities[0] == pytest.approx(0.7)
    assert answer.probabilities[1] == pytest.approx(0.4)
    assert math.isnan(answer.probabilities[2])


def test_points_are_looked_up_in_the_frame_of_the_robot(stage: Any) -> None:
    # To its right, beyond a metre, is the wall; to its left is where the sensor stands.
    places = [point(0.05, -1.05, 0.05), point(0.05, 0.5, 0.05)]
    answer = Planner(stage).ask("GetOccupancy", "get_occupancy", "robot", points=places)
    assert answer.success, answer.message
    assert list(answer.states) == [answer.OCCUPIED, answer.FREE]


def test_rays_are_cast_and_answered_in_the_frame_of_the_robot(stage: Any) -> None:
    answer = Planner(stage).ask(
        "CastRays",
        "cast_rays",
        "robot",
        origins=[point(0.05, 0, 0.05)],
        directions=[Vector3(y=-3.0), Vector3(z=1.0), Vector3(y=-0.1)],
    )
    assert answer.success, answer.message
    assert answer.header.frame_id == "robot"
    assert list(answer.stops) == [answer.HIT, answer.UNKNOWN, answer.HIT]
    for i in (0, 2):
        assert answer.distances[i] == pytest.approx(1.0, abs=1e-6)
        assert numbers(answer.points[i]) == pytest.approx((0.05, -1.0, 0.05), abs=1e-6)
        assert numbers(answer.cells[i]) == pytest.approx((0.05, -1.05, 0.05), abs=1e-6)
    assert math.isinf(answer.distances[1]) and math.isnan(answer.points[1].x)
    assert math.isfinite(answer.cells[1].z)


def test_rays_go_through_the_unknown_on_request_up_to_their_range(stage: Any) -> None:
    answer = Planner(stage).ask(
        "CastRays",
        "cast_rays",
        origins=[point(2.05, 2.05, 0.55)],
        directions=[Vector3(z=1.0)],
        ignore_unknown=True,
        max_range=1.5,
    )
    assert list(answer.stops) == [answer.MAX_RANGE]


def test_distances_are_measured_from_the_robot(stage: Any) -> None:
    planner = Planner(stage)
    places = [point(0.05, 0, 0.05), point(0.05, -1.02, 0.05)]
    answer = planner.ask("GetObstacleDistance", "get_obstacle_distance", "robot", points=places)
    assert answer.success, answer.message
    assert answer.header.frame_id == "robot"
    assert list(answer.distances) == pytest.approx([1.0, 0.0], abs=1e-6)
    assert numbers(answer.obstacles[0]) == pytest.approx((0.05, -1.05, 0.05), abs=1e-6)
    near = planner.ask(
        "GetObstacleDistance",
        "get_obstacle_distance",
        "robot",
        points=places,
        max_distance=0.5,
        unknown_as_obstacle=True,
    )
    assert 0 < near.distances[0] < 0.5
    far = planner.ask(
        "GetObstacleDistance", "get_obstacle_distance", "robot", points=places, max_distance=0.5
    )
    assert math.isinf(far.distances[0]) and math.isnan(far.obstacles[0].x)


def test_a_box_is_turned_with_the_robot(stage: Any) -> None:
    planner = Planner(stage)
    # A long thin box along the robot's right hand runs into the wall; ahead it is short of it.
    sizes = [Vector3(x=0.02, y=2.3, z=0.02)]
    centers = [pose((0.05, 0, 0.05)), pose((0.05, 0, 0.05), (0.0, 0.0, 1.0, 1.0))]
    answer = planner.ask(
        "GetBoxOccupancy", "get_box_occupancy", "robot", poses=centers, sizes=sizes
    )
    assert answer.success, answer.message
    assert answer.states[0] == answer.OCCUPIED
    assert answer.occupied[0] == 1
    assert answer.occupied[1] == 0
    assert answer.free[1] > 0
    small = planner.ask(
        "GetBoxOccupancy",
        "get_box_occupancy",
        poses=[pose((2.05, 2.05, 0.55))],
        sizes=[Vector3(x=0.01, y=0.01, z=0.01)],
    )
    assert list(small.states) == [small.FREE]
    assert (small.occupied[0], small.free[0], small.unknown[0]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("kind", "service", "frame_id", "fields", "text"),
    [
        ("GetOccupancy", "get_occupancy", "moon", {"points": [Point()]}, "frame moon is unknown"),
        ("GetOccupancy", "get_occupancy", "", {"points": [Point(x=math.nan)]}, "point 0 is"),
        ("CastRays", "cast_rays", "", {"directions": [Vector3(x=1.0)]}, "0 origins for 1 dir"),
        (
            "CastRays",
            "cast_rays",
            "robot",
            {"origins": [Point()], "directions": [Vector3()]},
            "direction 0 is (0, 0, 0)",
        ),
        (
            "GetBoxOccupancy",
            "get_box_occupancy",
            "",
            {"poses": [pose((0, 0, 0), (0.0, 0.0, 0.0, 0.0))], "sizes": [Vector3()]},
            "pose 0 has position",
        ),
        (
            "GetObstacleDistance",
            "get_obstacle_distance",
            "",
            {"points": [Point()], "max_distance": -2.0},
            "max_distance is -2 m",
        ),
    ],
)
def test_what_cannot_be_answered_says_why(
    stage: Any, kind: str, service: str, frame_id: str, fields: Any, text: str
) -> None:
    planner = Planner(stage, transform_timeout=0.1)
    answer = planner.ask(kind, service, frame_id, **fields)
    assert not answer.success
    assert text in answer.message
    assert planner.ask("GetOccupancy", "get_occupancy").success


def test_a_question_of_the_future_waits_for_its_transform(stage: Any) -> None:
    planner = Planner(stage, transform_timeout=10.0)
    speaker = stage.speak(TFMessage, "tf")
    request = srv.GetOccupancy.Request(header=Header(frame_id="arm"), points=[point(0, 0, 0)])
    request.header.stamp.sec = 5
    client = stage.probe.create_client(srv.GetOccupancy, "mapper/get_occupancy")
    stage.until(client.service_is_ready)
    future = client.call_async(request)
    # Others are served meanwhile.
    assert planner.ask("GetOccupancy", "get_occupancy", points=[Point()]).success
    assert not future.done()
    for seconds, x in ((4, 0.0), (6, 2 * (WALL_X + CENTER))):
        arm = edge("map", "arm", (x, 2.05, 0.55))
        arm.header.stamp.sec = seconds
        speaker.publish(TFMessage(transforms=[arm]))
    stage.until(future.done)
    assert future.result().success, future.result().message
    assert list(future.result().states) == [srv.GetOccupancy.Response.OCCUPIED]


def test_a_question_that_still_waits_does_not_hold_up_the_cleanup(stage: Any) -> None:
    planner = Planner(stage, transform_timeout=10.0)
    client = stage.probe.create_client(srv.GetOccupancy, "mapper/get_occupancy")
    stage.until(client.service_is_ready)
    client.call_async(srv.GetOccupancy.Request(header=Header(frame_id="moon")))
    # Its answer comes after that of the later one only if it was taken up before.
    assert planner.ask("GetOccupancy", "get_occupancy").success
    planner.node.trigger_deactivate()
    planner.node.trigger_cleanup()
    assert planner.node.start()
    assert planner.ask("GetOccupancy", "get_occupancy", points=[Point()]).success


@pytest.mark.parametrize("engine", ["octomap"])
def test_the_other_engine_answers_as_well(stage: Any, engine: str) -> None:
    planner = Planner(stage, engine=engine)
    answer = planner.ask("GetObstacleDistance", "get_obstacle_distance", points=[point(2, 2, 0.55)])
    assert list(answer.distances) == pytest.approx([1.0], abs=1e-6)


def test_without_the_package_the_mapper_maps_and_says_what_is_missing(
    stage: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    query_services = {"get_occupancy", "get_box_occupancy", "cast_rays", "get_obstacle_distance"}
    planner = Planner(stage)
    assert query_services <= service_names(planner.node)
    planner.node.trigger_deactivate()
    planner.node.trigger_cleanup()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cnn_perception_msgs.srv", None)
        interface.cache_clear()
        assert planner.node.start()
    interface.cache_clear()
    assert "reset" in service_names(planner.node)
    assert not query_services & service_names(planner.node)
    log = capfd.readouterr().err
    assert log.count("cnn_perception_msgs is not installed; docs/robot.md") == 1
