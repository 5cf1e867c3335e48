"""What became of every message, and what a node says of it and of itself on /diagnostics."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from cnn_perception.errors import PerceptionError, TransformError

if TYPE_CHECKING:
    from cnn_perception.ros.host import ComponentNode

__all__ = [
    "Diagnostics",
    "FrameStatistics",
    "InputWatch",
    "Percentiles",
    "Snapshot",
    "describe_error",
]


_WINDOW = 1000


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median, 95th and 99th percentile of a duration, milliseconds; NaN where nothing was timed."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: deque[float]) -> Percentiles:
        """Summarise durations in seconds."""
        if not seconds:
            return cls(np.nan, np.nan, np.nan)
        p50, p95, p99 = np.percentile(np.array(seconds) * 1e3, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts and durations at one moment.

    `received` counts the messages whose fate is known, so that received == processed +
    sum(dropped) at every moment; `in_flight` are waiting or in work. `latency` runs from arrival to
    the last publication, `compute` is the core's own part of it; both over the last 1000 frames.
    """

    received: int
    processed: int
    dropped: dict[str, int]
    in_flight: int
    latency: Percentiles
    compute: Percentiles


class FrameStatistics:
    """Counts messages and keeps their durations; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived = 0
        self._processed = 0
        self._dropped: Counter[str] = Counter()
        self._latency: deque[float] = deque(maxlen=_WINDOW)
        self._compute: deque[float] = deque(maxlen=_WINDOW)

    def arrive(self) -> None:
        """Count a message that came in."""
        with self._lock:
            self._arrived += 1

    def drop(self, reason: str) -> None:
        """Count a message that was given up."""
        with self._lock:
            self._dropped[reason] += 1

    def process(self, latency_s: float, compute_s: float) -> None:
        """Count a message whose results were published."""
        with self._lock:
            self._processed += 1
            self._latency.append(latency_s)
            self._compute.append(compute_s)

    def snapshot(self) -> Snapshot:
        """Return the counts and durations so far."""
        with self._lock:
            settled = self._processed + sum(self._dropped.values())
            return Snapshot(
                received=settled,
                processed=self._processed,
                dropped=dict(sorted(self._dropped.items())),
                in_flight=self._arrived - settled,
                latency=Percentiles.of(self._latency),
                compute=Percentiles.of(self._compute),
            )


class Diagnostics:
    """Publishes what a node and its component say of themselves, at every `tick`.

    Its other methods hear of what becomes of messages, by topic; they may be called by any thread.
    """

    def __init__(self, node: ComponentNode) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._watches: dict[str, InputWatch] = {}
        self._lost = 0
        self._told: Mapping[str, Any] = {}
        self._telling: Future[None] | None = None

    def watch(self, topics: Iterable[str]) -> None:
        """Begin anew with topics whose silence is worth a word."""
        now_s = time.monotonic()
        self._watches = {topic: InputWatch(now_s) for topic in topics}

    def heard(self, topic: str) -> bool:
        """Note that a frame came; true for the first."""
        watch = self._watches[topic]
        first, watch.heard_s = watch.heard_s is None, time.monotonic()
        return first

    def succeeded(self, topic: str) -> None:
        """Note that a frame was processed."""
        watch = self._watches[topic]
        watch.done_s, watch.trouble = time.monotonic(), None

    def failed(self, topic: str, error: Exception) -> None:
        """Note why a frame was not processed."""
        self._watches[topic].trouble = error

    def count_lost(self, event: Any) -> None:
        """Count what DDS says that it lost."""
        self._lost += event.total_count_change

    def tick(self) -> None:
        """Ask the component and publish; while it is busy, publish what it said last."""
        if self._telling is not None and not self._telling.done():
            self._publish()
        else:
            self._telling = self._node.worker.call(self._ask_and_publish)

    def _ask_and_publish(self) -> None:
        if self._node.component is not None:
            self._told = self._node.component.describe()
        self._publish()

    def _publish(self) -> None:
        node, component = self._node, self._node.component
        if not node.context.ok():
            return
        pairs = {} if component is None else dict(self._told)
        if self._lost:
            pairs["lost_in_transport"] = self._lost
        silence = self._silence() if node.active else ""
        if silence:
            component.warn_rarely("silence", silence)
        message = _message(node, pairs, silence)
        self._publisher.publish(message)

    def _silence(self) -> str:
        """Say for each input of which nothing is processed what is missing."""
        node, component = self._node, self._node.component
        inputs, frames, texts = component.inputs(), node.transforms.frames(), []
        for each in inputs:
            topic = node.topic_of(each)
            if (watch := self._watches.get(topic)) is not None:
                beside = each.name.rpartition("/")[0]
                partners = [
                    node.topic_of(other)
                    for other in inputs
                    if other.lazy and other.name.rpartition("/")[0] == beside
                ]
                texts.append(watch.complaint(node, topic, partners, component.silence_s, frames))
        return "; ".join(dict.fromkeys(text for text in texts if text))


def _message(node: ComponentNode, pairs: Mapping[str, Any], silence: str) -> DiagnosticArray:
    snapshot = node.statistics.snapshot()
    drops = sum(snapshot.dropped.values())
    summary = f"{snapshot.processed} of {snapshot.received} processed, {drops} dropped"
    status = DiagnosticStatus(
        level=DiagnosticStatus.WARN if silence else DiagnosticStatus.OK,
        name=node.get_fully_qualified_name(),
        message=silence or summary,
        hardware_id=str(pairs.get("model", "")),
    )
    status.values = [
        KeyValue(key=key, value=value)
        for key, value in (*_values(snapshot).items(), *_flat("", pairs))
    ]
    message = DiagnosticArray(status=[status])
    message.header.stamp = node.now()
    return message


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


def describe_error(error: BaseException) -> str:
    """Say what went wrong: our own errors speak for themselves, a defect shows where it is."""
    if isinstance(error, PerceptionError):
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()
