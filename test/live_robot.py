"""A robot for tests: real nodes and a listener in one ROS context, and a bag played to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from cnn_perception.components.component import Component
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.lockstep import LockstepOptions
from cnn_perception.recording.timeline import PlayOptions
from cnn_perception.ros.host import ComponentNode
from cnn_perception.ros.lockstep import Lockstep
from cnn_perception.ros.player import PlaySummary, open_player
from cnn_perception.ros.spinning import SpinningThread

READY_S = 60.0
DEEP = QoSProfile(depth=1000)


class Robot:
    """The nodes under test and a listener, each with its thread, in a ROS context of their own."""

    def __init__(self) -> None:
        self._never = Event()
        self.context = Context()
        rclpy.init(context=self.context)
        self.listener = Node("listener", context=self.context)
        self._nodes: list[Any] = []
        self._threads = [SpinningThread(self.listener, self.context)]

    def run(self, kind: type[Component], name: str, remaps: dict[str, str], **values: Any) -> Any:
        arguments = [part for pair in remaps.items() for part in ("-r", ":=".join(pair))]
        node = ComponentNode(
            kind,
            name,
            context=self.context,
            cli_args=["--ros-args", *arguments],
            parameter_overrides=[Parameter(key, value=value) for key, value in values.items()],
        )
        assert node.start()
        self._nodes.append(node)
        self._threads.append(SpinningThread(node, self.context))
        return node

    def hear(self, kind: Any, topic: str) -> list[Any]:
        heard: list[Any] = []
        self.listener.create_subscription(kind, topic, heard.append, DEEP)
        return heard

    def until(self, predicate: Callable[[], Any]) -> None:
        """Wait for what follows the end of playing in the other threads: callbacks, statistics."""
        deadline = time.monotonic() + READY_S
        while not predicate():
            assert time.monotonic() < deadline, "what the test waits for did not happen"
            self._never.wait(0.02)

    def close(self) -> None:
        for thread in self._threads:
            thread.close()
        for node in self._nodes:
            node.destroy_node()
        self.listener.destroy_node()
        rclpy.shutdown(context=self.context)


def play(
    bag: Path,
    outputs: dict[str, str],
    options: PlayOptions = PlayOptions(),  # noqa: B008  # frozen
    *,
    listeners: dict[str, int] | None = None,
    ready_s: float = READY_S,
    **values: Any,
) -> PlaySummary:
    with BagReader(bag) as reader, open_player(reader, options) as player:
        lockstep = Lockstep(player, LockstepOptions(outputs, **values))
        lockstep.wait_until_ready(ready_s, listeners)
        return lockstep.play()
