"""A node beside a program that does something else: a context of its own, a thread that spins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

__all__ = ["SpinningThread", "own_context"]


@contextmanager
def own_context() -> Iterator[Context]:
    """Give a ROS context that leaves signals to the caller: KeyboardInterrupt passes through."""
    context = Context()
    # args: the command line is not for ROS, whose remap rules would match options such as ours.
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield context
    finally:
        context.try_shutdown()


class SpinningThread:
    """Runs a node's callbacks, one at a time, from now until `close`."""

    def __init__(self, node: Node, context: Context) -> None:
        self._failure: Exception | None = None
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._end: Future[None] = Future()
        self._thread = threading.Thread(target=self._spin, name=node.get_name(), daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what a callback raised, which ended the spinning."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Stop running callbacks."""
        # Not by the executor's shutdown: it takes away what wakes a thread about to wait, which
        # would then wait for ever in a quiet system.
        self._end.set_result(None)
        self._thread.join()
        self._executor.shutdown()

    def _spin(self) -> None:
        try:
            self._executor.spin_until_future_complete(self._end)
        except ExternalShutdownException:
            pass
        except Exception as error:
            # A full disk, say: the main thread hears of it when it asks.
            self._failure = error
