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
    rclpy.init()
    nodes: list[PerceptionNode] = []
    failed = False
    try:
        executor = SingleThreadedExecutor()
        for factory in factories:
            nodes.append(factory())
            executor.add_node(nodes[-1])
        # A signal during the start takes the context away; what then fails is no failure.
        failed = not all(node.start() for node in nodes) and rclpy.ok()
        if rclpy.ok() and not failed:
            executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except PerceptionError as error:
        sys.stderr.write(f"error: {error}\n")
        failed = True
    except Exception:
        if rclpy.ok():
            raise
    finally:
        for node in nodes:
            node.stop()
            node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(1 if failed else 0)
