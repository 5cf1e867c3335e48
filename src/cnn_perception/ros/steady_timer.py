"""Timers that run on whatever time the robot believes in."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # where Humble has it
from rclpy.node import Node
from rclpy.timer import Timer

__all__ = ["create_steady_timer"]


def create_steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """Call back every `period_s` seconds of real time.

    A timer on simulated time falls silent after time went back, and where no /clock runs.
    """
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
