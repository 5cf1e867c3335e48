"""What a node says of itself on /diagnostics, and what it misses."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from cnn_perception.errors import PerceptionError, TransformError
from cnn_perception.ros.frame_statistics import Snapshot

__all__ = ["InputWatch", "account_of", "status_message"]


def status_message(
    name: str, snapshot: Snapshot, pairs: Mapping[str, Any], silence: str
) -> DiagnosticArray:
    """Return the account of a node; pairs: what its component says of itself.

    silence: a sentence while inputs have been quiet for too long, else empty.
    """
    drops = sum(snapshot.dropped.values())
    status = DiagnosticStatus(
        level=DiagnosticStatus.WARN if silence else DiagnosticStatus.OK,
        name=name,
        message=silence
        or f"{snapshot.processed} of {snapshot.received} processed, {drops} dropped",
        hardware_id=str(pairs.get("model", "")),
    )
    status.values = [
        KeyValue(key=key, value=value)
        for key, value in (*_values(snapshot).items(), *_flat("", pairs))
    ]
    return DiagnosticArray(status=[status])


def _flat(prefix: str, pairs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in pairs.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", f"{value:g}" if isinstance(value, float) else str(value)


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


@dataclass(slots=True, eq=False)
class InputWatch:
    """What became of the last frames of an input.

    begin_s: when it was first listened to; heard_s: when a frame came, None before the first;
    done_s: when one was processed; trouble: why the last one was not.
    """

    begin_s: float
    heard_s: float | None = None
    done_s: float | None = None
    trouble: Exception | None = None

    def done(self, now_s: float) -> None:
        """Note that a frame was processed."""
        self.done_s, self.trouble = now_s, None

    def complaint(
        self,
        node: Node,
        topic: str,
        partners: Sequence[str],
        timeout_s: float,
        frames: Sequence[str],
    ) -> str:
        """Say what is missing if no frame was processed for so long, else nothing.

        partners: further topics that frames wait for; frames: those of the transforms.
        """
        now_s = time.monotonic()
        silent_s = now_s - (self.begin_s if self.heard_s is None else self.heard_s)
        undone_s = now_s - (self.begin_s if self.done_s is None else self.done_s)
        if silent_s >= timeout_s:
            return f"{topic}: nothing heard for {silent_s:.0f} s {_publishers(node, topic)}"
        if undone_s < timeout_s or self.trouble is None:
            return ""
        if isinstance(self.trouble, TransformError):
            known = ", ".join(frames) or "none"
            return f"no transform {self.trouble.edge} for {undone_s:.0f} s; frames seen: {known}"
        text = f"{topic}: nothing processed for {undone_s:.0f} s: {self.trouble}"
        return "; ".join([text, *(f"{name} {_publishers(node, name)}" for name in partners)])


def _publishers(node: Node, topic: str) -> str:
    """Say how many publish on a topic, and which of them offer what cannot be received."""
    offers = node.get_publishers_info_by_topic(topic)
    wanted = next(iter(node.get_subscriptions_info_by_topic(topic)), None)
    text = f"({len(offers)} publishers)"
    for offer in offers:
        if wanted is None:
            break
        compatible, reason = qos_check_compatible(offer.qos_profile, wanted.qos_profile)
        if compatible == QoSCompatibility.ERROR:
            sender = f"{offer.node_namespace.rstrip('/')}/{offer.node_name}"
            text += f"; {sender} offers an incompatible QoS: {reason.strip()}"
    return text


def account_of(error: BaseException) -> str:
    """Say what went wrong: our own errors speak for themselves, a defect shows where it is."""
    if isinstance(error, PerceptionError):
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()
