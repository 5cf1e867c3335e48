"""Outputs of other nodes that a player waits for, recognised by their header stamps."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from cnn_perception.errors import ConfigError
from cnn_perception.messages.stamps import header_stamp_ns
from cnn_perception.ros.player import message_class

__all__ = ["AwaitedOutputs"]

# Loops of a bag, and nodes that publish in bursts, must not push out what is waited for.
_DEPTH = 100
_CHECK_S = 0.1


class AwaitedOutputs:
    """Listens to topics whose types their publishers say; another thread must spin the node."""

    def __init__(self, node: Node, topics: Iterable[str]) -> None:
        self._node = node
        self._topics = tuple(topics)
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self._changed = threading.Condition()
        self._missing: Counter[tuple[str, int]] = Counter()

    def subscribe(self) -> list[str]:
        """Listen where a publisher has turned up; returns the topics that have none yet.

        Raises ConfigError for a type that has no header, BagError for one that is not installed.
        """
        silent = []
        for topic in self._topics:
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers:
                silent.append(topic)
            elif topic not in self._subscriptions:
                reliable = all(
                    publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
                    for publisher in publishers
                )
                self._listen(topic, publishers[0].topic_type, reliable)
        return silent

    def expect(self, awaited: Counter[tuple[str, int]]) -> None:
        """Begin to wait for messages, by topic and header stamp; before what causes them is sent.

        What came earlier does not count.
        """
        with self._changed:
            self._missing = Counter(awaited)

    def wait(self, patience_s: float, alive: Callable[[], bool]) -> Counter[tuple[str, int]]:
        """Wait until all that is expected has come; returns what has not when time is up."""
        deadline = time.monotonic() + patience_s
        with self._changed:
            while self._missing and alive():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, _CHECK_S))
            missing, self._missing = self._missing, Counter()
        return missing

    def _listen(self, topic: str, msgtype: str, reliable: bool) -> None:
        kind = message_class(msgtype)
        if next(iter(kind.get_fields_and_field_types().values()), "") != "std_msgs/Header":
            raise ConfigError(
                f"awaited {topic} is a {msgtype}, which has no header to know its image by: "
                "await another output of the node"
            )
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            # Of a latched topic too only what is new: an old map is no answer.
            durability=DurabilityPolicy.VOLATILE,
        )
        self._subscriptions[topic] = self._node.create_subscription(
            kind, topic, lambda data, topic=topic: self._arrive(topic, data), qos, raw=True
        )

    def _arrive(self, topic: str, data: bytes) -> None:
        key = topic, header_stamp_ns(data)
        with self._changed:
            if key in self._missing:
                self._missing[key] -= 1
                if not self._missing[key]:
                    del self._missing[key]
                self._changed.notify_all()
