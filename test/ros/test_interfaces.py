"""The message packages of interfaces/: their type hashes, and real traffic over DDS."""

from __future__ import annotations

import array
import itertools
import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run 'make setup'")

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

INTERFACES = Path(__file__).resolve().parents[2] / "interfaces"
MESSAGES = sorted(
    f"{path.parent.parent.name}/msg/{path.stem}" for path in INTERFACES.glob("*/msg/*.msg")
)
# First digits of the REP-2016 hashes of the packages that the ROS distributions ship.
PUBLISHED_HASHES = {
    "octomap_msgs/msg/Octomap": "RIHS01_9891a19a05b70ec2",
    "tf2_msgs/msg/TFMessage": "RIHS01_e369d0f05a23ae52",
    "vision_msgs/msg/Classification": "RIHS01_f74db28d0eaef3af",
    "vision_msgs/msg/Detection2DArray": "RIHS01_214274120007f4a6",
    "vision_msgs/msg/Detection3DArray": "RIHS01_793f5eab9595ac1c",
    "vision_msgs/msg/LabelInfo": "RIHS01_3d37df4015cdf660",
}
NUMBERS = {"boolean": True, "int32": -7, "uint16": 300, "uint32": 9}


class Connection:
    """A node in a context of its own, and a bounded wait for something to happen."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        # Two runs at once, on one machine, must not hear each other.
        namespace = f"interfaces_test_{os.getpid()}"
        self.node = Node("interfaces_test", context=self.context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def spin_until(self, done: Callable[[], bool], timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < deadline, f"nothing happened within {timeout} s"
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    connection = Connection()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def typestore() -> Any:
    """The definitions under interfaces/, compiled by an implementation that is not ROS."""
    store = get_typestore(Stores.EMPTY)
    known = get_typestore(Stores.ROS2_HUMBLE)
    ours: dict[str, Any] = {}
    for name in MESSAGES:
        package, _, message = name.split("/")
        text = (INTERFACES / package / "msg" / f"{message}.msg").read_text(encoding="utf-8")
        ours |= get_types_from_msg(text, name)
    store.register({name: fields for name, fields in known.fielddefs.items() if name not in ours})
    store.register(ours)
    return store


def message_class(name: str) -> Any:
    package, kind, message = name.split("/")
    return getattr(import_module(f"{package}.{kind}"), message)


def filled(kind: str, serial: Iterator[int]) -> Any:
    """Return a value of a ROS type in which no two strings and no field keep their default."""
    if kind.startswith("sequence<"):
        inner = kind.removeprefix("sequence<").removesuffix(">")
        if inner == "int8":
            return array.array("b", [-128, 0, 127])
        return [filled(inner, serial) for _ in range(2)]
    if kind == "double[36]":
        return [float(next(serial)) for _ in range(36)]
    if kind == "string":
        return f"text {next(serial)}"
    if kind in ("double", "float"):
        return next(serial) + 0.25
    if "/" not in kind:
        return NUMBERS[kind]
    package, message = kind.split("/")
    value = message_class(f"{package}/msg/{message}")()
    for field, field_kind in value.get_fields_and_field_types().items():
        setattr(value, field, filled(field_kind, serial))
    return value


@pytest.mark.parametrize(("name", "prefix"), PUBLISHED_HASHES.items())
def test_definition_has_the_hash_of_the_distributions(
    typestore: Any, name: str, prefix: str
) -> None:
    assert typestore.hash_rihs01(name).startswith(prefix)


@pytest.mark.parametrize("name", MESSAGES)
def test_message_travels_with_the_hash_of_its_definition(
    connection: Connection, typestore: Any, name: str
) -> None:
    package, _, message = name.split("/")
    sent = filled(f"{package}/{message}", itertools.count(1))
    received: list[Any] = []
    topic = name.replace("/", "_")
    publisher = connection.node.create_publisher(type(sent), topic, 1)
    subscription = connection.node.create_subscription(type(sent), topic, received.append, 1)
    try:
        connection.spin_until(lambda: publisher.get_subscription_count() == 1)
        publisher.publish(sent)
        connection.spin_until(lambda: bool(received))
        endpoint = connection.node.get_publishers_info_by_topic(publisher.topic_name)[0]
    finally:
        connection.node.destroy_subscription(subscription)
        connection.node.destroy_publisher(publisher)
    assert received == [sent]
    if not hasattr(endpoint, "topic_type_hash"):
        pytest.skip("this ROS distribution has no type hashes")
    hash_value = bytes(endpoint.topic_type_hash.value).hex()
    assert f"RIHS01_{hash_value}" == typestore.hash_rihs01(name)


def test_services_answer(connection: Connection) -> None:
    services = pytest.importorskip("octomap_msgs.srv")
    from geometry_msgs.msg import Point

    octomap = filled("octomap_msgs/Octomap", itertools.count(1))
    boxes: list[tuple[Point, Point]] = []

    def give_map(_request: Any, response: Any) -> Any:
        response.map = octomap
        return response

    def clear_box(request: Any, response: Any) -> Any:
        boxes.append((request.min, request.max))
        return response

    node = connection.node
    node.create_service(services.GetOctomap, "octomap", give_map)
    node.create_service(services.BoundingBoxQuery, "clear", clear_box)
    map_client = node.create_client(services.GetOctomap, "octomap")
    box_client = node.create_client(services.BoundingBoxQuery, "clear")
    connection.spin_until(lambda: map_client.service_is_ready() and box_client.service_is_ready())

    corners = Point(x=-1.0, y=-2.0, z=-3.0), Point(x=1.0, y=2.0, z=3.0)
    answer = map_client.call_async(services.GetOctomap.Request())
    cleared = box_client.call_async(
        services.BoundingBoxQuery.Request(min=corners[0], max=corners[1])
    )
    connection.spin_until(lambda: answer.done() and cleared.done())

    assert answer.result().map == octomap
    assert boxes == [corners]
