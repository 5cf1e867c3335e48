"""The node's account on /diagnostics, once a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from cnn_perception.ros.accounting import Snapshot
from cnn_perception.ros.steady_timer import create_steady_timer

__all__ = ["DiagnosticsPublisher"]

SILENCE_S = 2.0


class DiagnosticsPublisher:
    """Publishes received, processed, dropped by reason, durations, and what the node adds.

    `describe` returns further key and value pairs (model, provider ...); `silence` returns a
    sentence while the inputs have been quiet for too long, else an empty string.
    """

    def __init__(
        self,
        node: Node,
        snapshot: Callable[[], Snapshot],
        describe: Callable[[], Mapping[str, str]],
        silence: Callable[[], str],
    ) -> None:
        self._node = node
        self._snapshot = snapshot
        self._describe = describe
        self._silence = silence
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        create_steady_timer(node, 1.0, self.publish)

    def publish(self) -> None:
        """Publish the present account."""
        snapshot = self._snapshot()
        silence = self._silence()
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if silence else DiagnosticStatus.OK,
            name=self._node.get_fully_qualified_name(),
            message=silence or _summary(snapshot),
        )
        pairs = {**_values(snapshot), **self._describe()}
        status.hardware_id = pairs.get("model", "")
        status.values = [KeyValue(key=key, value=value) for key, value in pairs.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _summary(snapshot: Snapshot) -> str:
    drops = sum(snapshot.dropped.values())
    return f"{snapshot.processed} of {snapshot.received} processed, {drops} dropped"


def _values(snapshot: Snapshot) -> dict[str, str]:
    values = {"received": str(snapshot.received), "processed": str(snapshot.processed)}
    values |= {f"dropped.{reason}": str(count) for reason, count in snapshot.dropped.items()}
    values["in_flight"] = str(snapshot.in_flight)
    for name, durations in (("latency", snapshot.latency), ("compute", snapshot.compute)):
        for quantile in ("p50", "p95", "p99"):
            milliseconds = getattr(durations, quantile)
            if not math.isnan(milliseconds):
                values[f"{name}_{quantile}_ms"] = f"{milliseconds:.3f}"
    return values
