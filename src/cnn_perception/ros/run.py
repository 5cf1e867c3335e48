"""The main program of every node: start, spin, and a clean end on Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from cnn_perception.errors import PerceptionError
from cnn_perception.ros.base_node import PerceptionNode

__all__ = ["run"]


def run(factories: Sequence[Callable[[], PerceptionNode]]) -> None:
    """Run nodes in this process until SIGINT or SIGTERM; exit code 1 when one cannot start."""
    nodes: list[PerceptionNode] = []
    failed = False
    try:
        try:
            failed = not _run(factories, nodes)
        finally:
            _end(nodes)
    except (KeyboardInterrupt, ExternalShutdownException):
        _end(nodes)  # again, since Ctrl-C may have come in the middle of the end
    except PerceptionError as error:
        sys.stderr.write(f"error: {error}\n")
        failed = True
    sys.exit(1 if failed else 0)


def _run(factories: Sequence[Callable[[], PerceptionNode]], nodes: list[PerceptionNode]) -> bool:
    """Start the nodes and spin; false when one did not start for a reason of its own."""
    rclpy.init()
    try:
        executor = SingleThreadedExecutor()
        for factory in factories:
            nodes.append(factory())
            executor.add_node(nodes[-1])
        started = all(node.start() for node in nodes)
        if started:
            executor.spin()
    except PerceptionError:
        raise
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
