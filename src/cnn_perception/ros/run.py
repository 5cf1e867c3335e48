"""The main program of every node: start, spin, and a clean end on Ctrl-C."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor

from cnn_perception.components.component import Component
from cnn_perception.components.registry import OWN, component_kind
from cnn_perception.errors import PerceptionError
from cnn_perception.ros.host import ComponentNode
from cnn_perception.ros.listener import Listener
from cnn_perception.runtime.inference import InferencePool

__all__ = ["detector", "explainer", "mapper", "perception", "run", "segmenter"]


def run(*kinds: type[Component]) -> None:
    """Run components as nodes of this process until SIGINT or SIGTERM; equal networks run once.

    Exit code 1 when one cannot start.
    """
    # rclpy shuts its context down on either signal, and hands Ctrl-C on to the handler it found:
    # Python's would raise wherever the main thread is, in callbacks of C++ and of compilers too.
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    nodes: list[ComponentNode] = []
    failed = False
    try:
        rclpy.init()
        if not interrupts:  # else it came too early for rclpy
            failed = not _run(kinds, nodes)
    except PerceptionError as error:
        sys.stderr.write(f"error: {error}\n")
        failed = True
    finally:
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(1 if failed else 0)


def _run(kinds: Sequence[type[Component]], nodes: list[ComponentNode]) -> bool:
    """Start the nodes and spin; false when one did not start for a reason of its own."""
    networks = InferencePool()
    try:
        executor = SingleThreadedExecutor()
        Listener.of(rclpy.get_default_context()).at_end(executor.wake)
        for kind in kinds:
            nodes.append(ComponentNode(kind, networks=networks))
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


def detector() -> None:
    """Run the detector."""
    _run_named("detector")


def segmenter() -> None:
    """Run the segmenter."""
    _run_named("segmenter")


def explainer() -> None:
    """Run the explainer."""
    _run_named("explainer")


def mapper() -> None:
    """Run the mapper."""
    _run_named("mapper")


def perception() -> None:
    """Run all four in one process."""
    _run_named(*OWN)


def _run_named(*names: str) -> None:
    run(*(component_kind(name) for name in names))


if __name__ == "__main__":
    _run_named(*(OWN if sys.argv[1] == "perception" else sys.argv[1:2]))
