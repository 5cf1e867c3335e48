"""A thread that spins a node: it ends when it is told to, and hands on what a callback raised."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from rclpy.node import Node
from std_msgs.msg import String

from cnn_perception.ros.spinning import SpinningThread


def test_it_ends_at_any_moment(stage: Any) -> None:
    node = Node("quiet", namespace=stage.namespace, context=stage.context)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns where they otherwise rarely do
    try:
        for _ in range(100):
            SpinningThread(node, stage.context).close()
    finally:
        sys.setswitchinterval(before)
    node.destroy_node()


def test_what_a_callback_raises_is_handed_on(stage: Any) -> None:
    def fail(message: String) -> None:
        raise ValueError(message.data)

    node = Node("failing", namespace=stage.namespace, context=stage.context)
    node.create_subscription(String, "text", fail, 10)
    spinning = SpinningThread(node, stage.context)
    spinning.check()
    stage.speak(String, "text").publish(String(data="no space left"))

    def failed() -> bool:
        try:
            spinning.check()
        except ValueError as error:
            return str(error) == "no space left"
        return False

    stage.until(failed)
    spinning.close()
    node.destroy_node()
