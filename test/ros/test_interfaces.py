"""The message packages of interfaces/: their type hashes, and real traffic over DDS."""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from geometry_msgs.msg import Point
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
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
    stage: Any, typestore: Any, name: str
) -> None:
    package, _, message = name.split("/")
    sent = filled(f"{package}/{message}", itertools.count(1))
    received = stage.hear(type(sent), "anything")
    publisher = stage.speak(type(sent), "anything")
    publisher.publish(sent)
    stage.until(lambda: received)
    assert received == [sent]

    endpoint = stage.probe.get_publishers_info_by_topic(publisher.topic_name)[0]
    if not hasattr(endpoint, "topic_type_hash"):
        pytest.skip("this ROS distribution has no type hashes")
    hash_value = bytes(endpoint.topic_type_hash.value).hex()
    assert f"RIHS01_{hash_value}" == typestore.hash_rihs01(name)


def test_map_service_answers(stage: Any) -> None:
    octomap = filled("octomap_msgs/Octomap", itertools.count(1))

    def answer(_request: Any, response: Any) -> Any:
        response.map = octomap
        return response

    stage.probe.create_service(GetOctomap, "octomap", answer)
    assert stage.call(GetOctomap, "octomap", GetOctomap.Request()).map == octomap


def test_box_service_gets_its_corners(stage: Any) -> None:
    boxes: list[tuple[Point, Point]] = []

    def note(request: Any, response: Any) -> Any:
        boxes.append((request.min, request.max))
        return response

    stage.probe.create_service(BoundingBoxQuery, "clear", note)
    low, high = Point(x=-1.0, y=-2.0, z=-3.0), Point(x=1.0, y=2.0, z=3.0)
    stage.call(BoundingBoxQuery, "clear", BoundingBoxQuery.Request(min=low, max=high))
    assert boxes == [(low, high)]
