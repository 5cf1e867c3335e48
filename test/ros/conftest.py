"""Real rclpy, real DDS: each test has its own context and namespace, and waits for facts."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Before the first context: tests of two checkouts on one machine must not hear each other.
os.environ.setdefault("ROS_DOMAIN_ID", str(os.getpid() % 100))

rclpy = pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402

from cnn_perception.components.component import Component  # noqa: E402
from cnn_perception.ros.host import ComponentNode  # noqa: E402
from cnn_perception.runtime.inference import InferencePool  # noqa: E402

PATIENCE_S = 30.0
_NUMBER = itertools.count()


class Stage:
    """A ROS context with an executor, the nodes under test, and a probe node that talks to them."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.namespace = f"/stage_{os.getpid()}_{next(_NUMBER)}"
        self.executor = SingleThreadedExecutor(context=self.context)
        self.probe = Node("probe", namespace=self.namespace, context=self.context)
        self.executor.add_node(self.probe)
        self._nodes: list[Any] = []

    def node(
        self,
        kind: type[Component],
        name: str,
        *args: str,
        networks: InferencePool | None = None,
        **parameters: Any,
    ) -> Any:
        """Make a component's node with parameters and ROS command line arguments; not started."""
        node = ComponentNode(
            kind,
            name,
            networks=networks,
            namespace=self.namespace,
            context=self.context,
            cli_args=["--ros-args", *args] if args else None,
            parameter_overrides=[Parameter(key, value=value) for key, value in parameters.items()],
        )
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def running(self, kind: type[Component], name: str, *args: str, **parameters: Any) -> Any:
        """Make a node and bring it to active."""
        node = self.node(kind, name, *args, **parameters)
        assert node.start()
        return node

    def hear(self, message_type: Any, topic: str, qos: QoSProfile | int = 10) -> list[Any]:
        """Return a list that collects what arrives on a topic."""
        heard: list[Any] = []
        self.probe.create_subscription(message_type, topic, heard.append, qos)
        return heard

    def speak(self, message_type: Any, topic: str, qos: QoSProfile | int = 10) -> Any:
        """Return a publisher on a topic that someone already listens to."""
        publisher = self.probe.create_publisher(message_type, topic, qos)
        self.until(lambda: publisher.get_subscription_count() > 0)
        return publisher

    def linked(self, node: Any, *topics: str) -> None:
        """Wait until the node's publishers on these topics know of a subscriber each."""
        publishers = {p.topic_name: p for p in node.publishers}
        for topic in topics:
            name = topic.replace("~", f"{self.namespace}/{node.get_name()}")
            name = name if name.startswith("/") else f"{self.namespace}/{name}"
            self.until(lambda p=publishers[name]: p.get_subscription_count() > 0)

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        """Call a service and return its answer."""
        client = self.probe.create_client(service_type, name)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def until(self, predicate: Callable[[], Any]) -> Any:
        """Spin until a predicate holds and return its value; fails when it never does."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := predicate()):
            assert time.monotonic() < deadline, "what the test waits for did not happen"
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def settled(self, node: Any, received: int) -> Any:
        """Spin until the fate of so many messages is known; returns the node's counts."""
        self.until(lambda: node.statistics.snapshot().received >= received)
        snapshot = node.statistics.snapshot()
        assert snapshot.received == snapshot.processed + sum(snapshot.dropped.values())
        return snapshot

    def close(self) -> None:
        """End everything."""
        for node in self._nodes:
            node.destroy_node()
        self.probe.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A fresh ROS context."""
    stage = Stage()
    yield stage
    stage.close()
