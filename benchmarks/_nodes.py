"""What benchmarks of nodes share: a camera process to command, and ears for what nodes publish."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnn_perception.demo.processes import NodeProcess
from cnn_perception.resources import share_directory

PATIENCE_S = 60.0
PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"

Topic = tuple[Any, str, Callable[[Any], None]]
"""Message class, topic, and what to do with a message."""


def large_images_profile() -> str:
    """Return the DDS profile that lets raw images through."""
    return str(share_directory() / "config" / "fastdds_large_images.xml")


def private_domain(index: int = 0) -> dict[str, str]:
    """Return the environment of a ROS domain that others on this machine hardly have."""
    domain = 1 + (os.getpid() + index) % 100
    return {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


class Diagnostics:
    """What a node last said of itself on /diagnostics, and how often it did."""

    def __init__(self) -> None:
        self.values: Mapping[str, str] = {}
        self.reports = 0
        self.changed = threading.Condition()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, checked after each report."""
        with self.changed:
            if not self.changed.wait_for(condition, PATIENCE_S):
                raise SystemExit(f"the node does not report what is expected: {self.values}")

    def wait_reports(self, count: int) -> None:
        """Wait for so many more reports."""
        seen = self.reports
        self.wait(lambda: self.reports >= seen + count)

    def heard(self, message: Any) -> None:
        """Keep what the node says of itself."""
        with self.changed:
            self.values = {pair.key: pair.value for pair in message.status[0].values}
            self.reports += 1
            self.changed.notify_all()


@contextmanager
def diagnostics(
    environment: Mapping[str, str], topics: Sequence[Topic] = ()
) -> Iterator[Diagnostics]:
    """Receive /diagnostics and the given topics in a thread of this process."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.context import Context
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.node import Node

    context = Context()
    rclpy.init(args=[], context=context, domain_id=int(environment["ROS_DOMAIN_ID"]))
    node = Node("receiver", context=context, start_parameter_services=False, enable_rosout=False)
    reports = Diagnostics()
    for kind, topic, callback in topics:
        node.create_subscription(kind, topic, callback, 100)
    node.create_subscription(DiagnosticArray, "/diagnostics", reports.heard, 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            return

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield reports
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        context.try_shutdown()


class Camera:
    """The process that publishes; it and its parent exchange lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> str:
        """Return its next line; empty when it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def expect(self, line: str, node: NodeProcess) -> None:
        """End the benchmark unless the next line is this one; says so if the node has ended."""
        if (heard := self.hear()) != line:
            node.check()
            raise SystemExit(f"the camera said {heard!r} instead of {line!r}: see {node.log}")

    def go(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()


@contextmanager
def camera(
    script: str, arguments: Sequence[str], environment: Mapping[str, str], duration_s: float
) -> Iterator[Camera]:
    """Run a script as the camera; it is ended when the block is left."""
    process = subprocess.Popen(
        [sys.executable, script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    # Whatever goes wrong, its end is what the parent reads next, and that ends the benchmark.
    watchdog = threading.Timer(3 * PATIENCE_S + duration_s, process.kill)
    watchdog.start()
    try:
        yield Camera(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def say(text: str) -> None:
    """Tell the parent process."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def await_order() -> None:
    """Wait until the parent says to go on."""
    sys.stdin.readline()


def report(result: Mapping[str, Any], out: Path | None) -> None:
    """Print a result as JSON, and write it into a file if one is given."""
    text = json.dumps(result, indent=2) + "\n"
    if out is not None:
        out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
