"""Plays a bag on ROS 2: the recorded bytes, at the recorded times, with the recorded QoS."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from cnn_perception.errors import BagError, ConfigError, PerceptionError
from cnn_perception.recording.bag import BagReader, BagTopic
from cnn_perception.recording.timeline import PlayOptions, TimelineEvent, timeline

__all__ = ["BagPlayer", "PlaySummary", "message_class", "open_player"]

_CLOCK_TOPIC = "/clock"
_POLL_S = 0.01
# The longest to wait for slow reliable subscribers at the end.
_DELIVERY_S = 2.0
_LINGER_S = 0.2


@dataclass(frozen=True, slots=True)
class PlaySummary:
    """What was sent: messages by topic (of all loops), and the worst delay behind the schedule."""

    messages: Mapping[str, int]
    latest_s: float


def message_class(msgtype: str) -> Any:
    """Return the ROS class of ``package/msg/Name``; raises BagError when it is not installed."""
    package, _, name = msgtype.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(
            f"message type {msgtype} is not installed here: install {package} or leave its topics "
            "out"
        ) from error


class BagPlayer:
    """A ROS node that publishes a bag.

    `remaps` renames topics. Topics of message types that are not installed are left out (see
    `skipped`), unless they were asked for by name.
    """

    def __init__(
        self,
        bag: BagReader,
        options: PlayOptions,
        *,
        remaps: Mapping[str, str] | None = None,
        context: Context | None = None,
        name: str = "bag_player",
    ) -> None:
        self._bag = bag
        self.skipped: dict[str, str] = {}
        topics = self._playable(options, remaps or {})
        self._options = PlayOptions(
            options.rate,
            options.loops,
            options.start_offset_ns,
            frozenset(topic.name for topic in topics),
            options.clock_hz,
        )
        # It answers nothing and reads no time: no parameter services, nothing to spin.
        self._node = Node(
            name, context=context, start_parameter_services=False, enable_rosout=False
        )
        self._context = context or rclpy.get_default_context()
        self._publishers: dict[str, Publisher[Any]] = {}
        for topic in topics:
            renamed = (remaps or {}).get(topic.name, topic.name)
            self._publishers[topic.name] = self._node.create_publisher(
                message_class(topic.msgtype), renamed, _offered(topic)
            )
        self._clock = (
            self._node.create_publisher(Clock, _CLOCK_TOPIC, 100)
            if options.clock_hz is not None
            else None
        )

    @property
    def message_count(self) -> int:
        """Number of messages in one loop without an offset, clock ticks not counted."""
        return sum(topic.count for topic in self._bag.topics if topic.name in self._publishers)

    def close(self) -> None:
        """Remove the node."""
        self._node.destroy_node()

    def lonely(self, expected: Mapping[str, int] | None = None) -> list[str]:
        """Return the topics with fewer subscribers than `expected` (recorded name to number).

        Of a topic that is not in it one is expected; of the clock none.
        """
        wanted = dict.fromkeys(self._publishers, 1) | dict(expected or {})
        publishers = dict(self._publishers)
        if self._clock is not None:
            publishers[_CLOCK_TOPIC] = self._clock
        return sorted(
            publisher.topic_name
            for name, publisher in publishers.items()
            if publisher.get_subscription_count() < wanted.get(name, 0)
        )

    def wait_for_subscribers(self, timeout_s: float) -> None:
        """Wait until every topic has a subscriber; raises PerceptionError naming those without."""
        deadline = time.monotonic() + timeout_s
        while lonely := self.lonely():
            if time.monotonic() > deadline:
                raise PerceptionError(
                    f"no subscriber on {', '.join(lonely)} after {timeout_s:g} s: start the nodes, "
                    "check their topic names, or choose the topics to play"
                )
            time.sleep(_POLL_S)

    def play(self, progress: Callable[[TimelineEvent, int], None] | None = None) -> PlaySummary:
        """Publish everything on time, then wait (bounded) until it was delivered.

        Returns early when the ROS context shuts down. `progress` hears of each event and the
        wall-clock nanoseconds at which it was sent.
        """
        counts: Counter[str] = Counter()
        latest_ns = 0
        start_ns = time.monotonic_ns()
        for event in timeline(self._bag, self._options):
            wait_ns = start_ns + event.due_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            latest_ns = max(latest_ns, -wait_ns)
            if not self._context.ok():
                break
            sent_ns = time.time_ns()
            self._send(event, counts)
            if progress is not None:
                progress(event, sent_ns)
        self._wait_until_delivered()
        return PlaySummary(dict(counts), latest_ns / 1e9)

    def _wait_until_delivered(self) -> None:
        deadline = time.monotonic() + _DELIVERY_S
        for publisher in self._publishers.values():
            remaining_s = max(deadline - time.monotonic(), 0.0)
            publisher.wait_for_all_acked(Duration(nanoseconds=int(remaining_s * 1e9)))
        # Best-effort readers acknowledge nothing, and lose what they have not fetched by the end.
        time.sleep(_LINGER_S)

    def _send(self, event: TimelineEvent, counts: Counter[str]) -> None:
        if event.message is not None:
            self._publishers[event.message.topic].publish(event.message.data)
            counts[event.message.topic] += 1
        elif self._clock is not None:
            tick = Clock()
            tick.clock.sec, tick.clock.nanosec = divmod(event.stamp_ns, 1_000_000_000)
            self._clock.publish(tick)

    def _playable(self, options: PlayOptions, remaps: Mapping[str, str]) -> list[BagTopic]:
        known = {topic.name: topic for topic in self._bag.topics}
        for name in [*(options.topics or ()), *remaps]:
            if name not in known:
                raise ConfigError(
                    f"{self._bag.path} has no topic {name!r}: it has {', '.join(known)}"
                )
        playable = []
        for topic in known.values():
            if options.topics is not None and topic.name not in options.topics:
                continue
            if topic.name == _CLOCK_TOPIC and options.clock_hz is not None:
                self.skipped[topic.name] = "the player makes its own clock"
                continue
            try:
                message_class(topic.msgtype)
            except BagError as error:
                if options.topics is not None:
                    raise
                self.skipped[topic.name] = str(error)
                continue
            playable.append(topic)
        return playable


@contextmanager
def open_player(
    bag: BagReader, options: PlayOptions, *, remaps: Mapping[str, str] | None = None
) -> Iterator[BagPlayer]:
    """Give a player with a ROS context of its own, both removed afterwards.

    Signals stay the caller's: KeyboardInterrupt passes through.
    """
    context = Context()
    # args: the command line is not for ROS, whose remap rules would match options such as ours.
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        player = BagPlayer(bag, options, remaps=remaps, context=context)
        try:
            yield player
        finally:
            player.close()
    finally:
        context.try_shutdown()


def _offered(topic: BagTopic) -> QoSProfile:
    reliability = ReliabilityPolicy.RELIABLE if topic.reliable else ReliabilityPolicy.BEST_EFFORT
    if not topic.latched:
        return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=reliability)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=min(max(topic.count, 1), 1000),
        reliability=reliability,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
