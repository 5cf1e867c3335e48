"""Records topics into a bag and listens to the nodes' diagnostics meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_srvs.srv import Trigger

from cnn_perception.errors import PerceptionError
from cnn_perception.recording.bag import BagWriter
from cnn_perception.ros.player import message_class
from cnn_perception.ros.spinning import SpinningThread, own_context

__all__ = ["NodeReport", "RecordedTopic", "Recorder", "open_recorder"]

# Recorded from the start of a node on: what is sent faster than it is written must not be lost.
_DEPTH = 100


@dataclass(frozen=True, slots=True)
class RecordedTopic:
    """A topic to record; `latched` ones also bring what was published before."""

    name: str
    msgtype: str
    latched: bool = False


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node last said of itself on /diagnostics, and how often it has."""

    values: Mapping[str, str]
    reports: int


class Recorder:
    """A ROS node that writes topics into a bag; a thread of its own spins it.

    Stamps in the bag are the receive times. Make one with `open_recorder`.
    """

    def __init__(
        self, writer: BagWriter, topics: Sequence[RecordedTopic], context: Context
    ) -> None:
        self._writer = writer
        self._changed = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._reports: dict[str, NodeReport] = {}
        self._node = Node(
            "bag_recorder", context=context, start_parameter_services=False, enable_rosout=False
        )
        self.record(topics)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._note, _DEPTH)
        self._spinning = SpinningThread(self._node, context)

    def record(self, topics: Sequence[RecordedTopic]) -> None:
        """Record these topics too, from now on."""
        for topic in topics:
            self._writer.add_topic(topic.name, topic.msgtype, latched=topic.latched)
            self._node.create_subscription(
                message_class(topic.msgtype),
                topic.name,
                lambda data, topic=topic: self._write(topic, data),
                _requested(topic),
                raw=True,
            )

    @property
    def counts(self) -> dict[str, int]:
        """Number of messages recorded so far, by topic."""
        with self._changed:
            return dict(self._counts)

    @property
    def reports(self) -> dict[str, NodeReport]:
        """The last report of every node, by its full name."""
        with self._changed:
            return dict(self._reports)

    def wait_until(
        self,
        condition: Callable[[], bool],
        timeout_s: float,
        check: Callable[[], None] = lambda: None,
    ) -> bool:
        """Wait until a condition holds, trying again after every message; false when time is up.

        `check` may raise to end the waiting early. Raises what ended the recording, if anything.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            check()
            self._spinning.check()
            if condition():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left, 0.05))

    def trigger(self, service: str, timeout_s: float) -> str:
        """Call a std_srvs/Trigger service; returns its message. Raises PerceptionError."""
        client: Any = self._node.create_client(Trigger, service)
        try:
            if not self.wait_until(client.service_is_ready, timeout_s):
                raise PerceptionError(f"no service {service} after {timeout_s:g} s")
            future = client.call_async(Trigger.Request())
            if not self.wait_until(future.done, timeout_s):
                raise PerceptionError(f"{service} did not answer within {timeout_s:g} s")
            answer = future.result()
        finally:
            self._node.destroy_client(client)
        if not answer.success:
            raise PerceptionError(f"{service}: {answer.message}")
        return str(answer.message)

    def close(self) -> None:
        """Stop recording; the bag itself stays open."""
        self._spinning.close()
        self._node.destroy_node()

    def _write(self, topic: RecordedTopic, data: bytes) -> None:
        self._writer.write_raw(topic.name, topic.msgtype, data, time.time_ns())
        with self._changed:
            self._counts[topic.name] += 1
            self._changed.notify_all()

    def _note(self, message: Any) -> None:
        with self._changed:
            for status in message.status:
                before = self._reports.get(status.name)
                values = {pair.key: pair.value for pair in status.values}
                self._reports[status.name] = NodeReport(
                    values, 1 + (before.reports if before else 0)
                )
            self._changed.notify_all()


@contextmanager
def open_recorder(writer: BagWriter, topics: Sequence[RecordedTopic]) -> Iterator[Recorder]:
    """Give a running recorder with a ROS context of its own, both removed afterwards."""
    with (
        own_context() as context,
        closing(Recorder(writer, topics, context)) as recorder,
    ):
        yield recorder


def _requested(topic: RecordedTopic) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE,
    )
