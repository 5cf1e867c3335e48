"""The main program of every node: start, spin, and a clean end on Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_perception.components import Component

__all__ = ["detector", "explainer", "mapper", "perception", "run", "segmenter"]

_OWN = ("detector", "segmenter", "explainer", "mapper")


def run(*kinds: type[Component] | str) -> None:
    """Run components, given as classes or by their names, as nodes of this process until it ends.

    It ends on SIGINT or SIGTERM; exit code 1 when a node cannot start. Equal networks run once.
    """
    # rclpy shuts its context down on either signal, and hands Ctrl-C on to the handler it found:
    # Python's would raise wherever the main thread is, in callbacks of C++ and of compilers too,
    # and in the imports below, which are not above for that.
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    import rclpy

    from cnn_perception.errors import PerceptionError

    nodes: list[Any] = []
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


def _run(kinds: Sequence[type[Component] | str], nodes: list[Any]) -> bool:
    """Start the nodes and spin; false when one did not start for a reason of its own."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from cnn_perception.components.registry import component_kind
    from cnn_perception.ros.host import ComponentNode
    from cnn_perception.ros.listener import Listener
    from cnn_perception.runtime.inference import InferencePool

    networks = InferencePool()
    try:
        executor = SingleThreadedExecutor()
        Listener.of(rclpy.get_default_context()).at_end(executor.wake)
        for kind in kinds:
            found = component_kind(kind) if isinstance(kind, str) else kind
            nodes.append(ComponentNode(found, networks=networks))
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
    run("detector")


def segmenter() -> None:
    """Run the segmenter."""
    run("segmenter")


def explainer() -> None:
    """Run the explainer."""
    run("explainer")


def mapper() -> None:
    """Run the mapper."""
    run("mapper")


def perception() -> None:
    """Run all four in one process."""
    run(*_OWN)


if __name__ == "__main__":
    run(*(_OWN if sys.argv[1] == "perception" else sys.argv[1:2]))
