"""The main program of every node: start, spin, and a clean end on Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor

from cnn_perception.errors import PerceptionError
from cnn_perception.ros.base_node import PerceptionNode

__all__ = ["run"]


def run(factories: Sequence[Callable[[], PerceptionNode]]) -> None:
    """Run nodes in this process until SIGINT or SIGTERM; exit code 1 when one cannot start."""
    # rclpy shuts its context down on either signal, and hands Ctrl-C on to the handler it found:
    # Python's would raise wherever the main thread is, in callbacks of C++ and of compilers too.
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    nodes: list[PerceptionNode] = []
    failed = False
    try:
        rclpy.init()
        if not interrupts:  # else it came too early for rclpy
            failed = not _run(factories, nodes)
    except PerceptionError as error:
        sys.stderr.write(f"error: {error}\n")
        failed = True
    finally:
        _end(nodes)
    sys.exit(1 if failed else 0)


def _run(factories: Sequence[Callable[[], PerceptionNode]], nodes: list[PerceptionNode]) -> bool:
    """Start the nodes and spin; false when one did not start for a reason of its own."""
    try:
        executor = SingleThreadedExecutor()
        for factory in factories:
            nodes.append(factory())
            executor.add_node(nodes[-1])
        started = all(node.start() for node in nodes)
        if started:
            executor.spin()
    except Exception:
        # A signal takes the context away wherever we are; what then fails is no failure.
        if rclpy.ok():
            raise
        return True
    return started or not rclpy.ok()


def _end(nodes: Sequence[PerceptionNode]) -> None:
    for node in nodes:
        node.stop()
        node.destroy_node()
    rclpy.try_shutdown()
