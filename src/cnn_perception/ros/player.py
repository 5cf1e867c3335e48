"""Plays a bag on ROS 2: the recorded bytes, at the recorded times, with the recorded QoS."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from cnn_perception.errors import BagError, ConfigError, PerceptionError
from cnn_perception.messages.stamps import ns_to_stamp
from cnn_perception.recording.bag import BagReader, BagTopic, RawBagMessage
from cnn_perception.recording.lockstep import GATED_TYPES, MissingOutput
from cnn_perception.recording.pace import Pace
from cnn_perception.recording.timeline import PlayOptions, TimelineEvent, timeline
from cnn_perception.ros.encode import interface
from cnn_perception.ros.pause_services import serve_pace
from cnn_perception.ros.spinning import SpinningThread, own_context

__all__ = ["BagPlayer", "LoopCounts", "PlaySummary", "message_class", "open_player"]

_CLOCK_TOPIC = "/clock"
_POLL_S = 0.01
# The longest to wait for slow reliable subscribers at the end.
_DELIVERY_S = 2.0
_LINGER_S = 0.2


@dataclass(frozen=True, slots=True)
class LoopCounts:
    """How many messages of each recorded topic one loop sent, and how many of each output came."""

    sent: Counter[str]
    answered: Counter[str]


@dataclass(frozen=True, slots=True)
class PlaySummary:
    """What was sent and what was answered, loop by loop.

    latest_s: the worst delay behind the schedule; missing: what lockstep waited for in vain.
    """

    loops: tuple[LoopCounts, ...]
    latest_s: float = 0.0
    missing: tuple[MissingOutput, ...] = ()

    @property
    def messages(self) -> dict[str, int]:
        """Number of messages sent in all loops, by recorded topic."""
        return dict(sum((loop.sent for loop in self.loops), Counter[str]()))


def message_class(msgtype: str) -> Any:
    """Return the ROS class of ``package/msg/Name``; raises BagError when it is not installed."""
    try:
        return interface(msgtype)
    except ImportError as error:
        package = msgtype.partition("/")[0]
        raise BagError(
            f"message type {msgtype} is not installed here: install {package} or leave its topics "
            "out"
        ) from error


class BagPlayer:
    """A ROS node that publishes a bag, and can be paused by services of its own.

    `remaps` renames topics. Topics of message types that are not installed are left out (see
    `skipped`), unless they were asked for by name. `paused` waits for ``~/resume``. A thread spins
    the node; only one thread may play.
    """

    def __init__(
        self,
        bag: BagReader,
        options: PlayOptions,
        *,
        remaps: Mapping[str, str] | None = None,
        context: Context | None = None,
        name: str = "bag_player",
        paused: bool = False,
    ) -> None:
        self.bag = bag
        self.skipped: dict[str, str] = {}
        topics = self._playable(options, remaps or {})
        self.types = {topic.name: topic.msgtype for topic in topics}
        self.options = replace(options, topics=frozenset(self.types))
        self.pace = Pace(paused=paused)
        self._context = context or rclpy.get_default_context()
        # It reads no time and has no parameters.
        self.node = Node(name, context=context, start_parameter_services=False, enable_rosout=False)
        self.publishers: dict[str, Publisher[Any]] = {}
        for topic in topics:
            renamed = (remaps or {}).get(topic.name, topic.name)
            self.publishers[topic.name] = self.node.create_publisher(
                message_class(topic.msgtype), renamed, _offered(topic)
            )
        self._clock = (
            self.node.create_publisher(Clock, _CLOCK_TOPIC, 100)
            if options.clock_hz is not None
            else None
        )
        serve_pace(self.node, self.pace)
        self._spinning = SpinningThread(self.node, self._context)

    @property
    def message_count(self) -> int:
        """Number of messages in one loop of the whole bag, clock ticks not counted."""
        return sum(topic.count for topic in self.bag.topics if topic.name in self.publishers)

    def close(self) -> None:
        """Remove the node."""
        self._spinning.close()
        self.node.destroy_node()

    def alive(self) -> bool:
        """Whether there is someone to play to: false when the ROS context has shut down."""
        return self._context.ok()

    def check(self) -> None:
        """Raise what a callback of the node raised."""
        self._spinning.check()

    def lonely(self, expected: Mapping[str, int] | None = None, others: int = 1) -> list[str]:
        """Return the topics with fewer subscribers than `expected` (recorded name to number).

        Of a topic that is not in it `others` are expected; of the clock none.
        """
        wanted = dict.fromkeys(self.publishers, others) | dict(expected or {})
        publishers = dict(self.publishers)
        if self._clock is not None:
            publishers[_CLOCK_TOPIC] = self._clock
        return sorted(
            publisher.topic_name
            for name, publisher in publishers.items()
            if publisher.get_subscription_count() < wanted.get(name, 0)
        )

    def wait_for_subscribers(
        self, timeout_s: float, expected: Mapping[str, int] | None = None
    ) -> None:
        """Wait until every topic has a subscriber, or as many as `expected` says (see `lonely`).

        Raises PerceptionError naming the topics that have not.
        """
        deadline = time.monotonic() + timeout_s
        while lonely := self.lonely(expected):
            if time.monotonic() > deadline:
                few = "no subscriber" if not expected else "too few subscribers"
                raise PerceptionError(
                    f"{few} on {', '.join(lonely)} after {timeout_s:g} s: start the nodes, "
                    "check their topic names, or choose the topics to play"
                )
            time.sleep(_POLL_S)

    def play(self, progress: Callable[[TimelineEvent, int], None] | None = None) -> PlaySummary:
        """Publish everything on time, then wait (bounded) until it was delivered.

        Returns early when the ROS context shuts down. `progress` hears of each event and the
        wall-clock nanoseconds at which it was sent.
        """
        loops: list[LoopCounts] = []
        latest_ns = 0
        self.pace.start()
        for event in timeline(self.bag, self.options):
            late_ns = self.pace.wait(event.due_ns, self.alive, whole=event.message is not None)
            if late_ns is None:
                break
            latest_ns = max(latest_ns, late_ns)
            if event.loop == len(loops):
                loops.append(LoopCounts(Counter(), Counter()))
            sent_ns = time.time_ns()
            if event.message is None:
                self.tick(event.stamp_ns)
            else:
                self.send(event.message)
                loops[-1].sent[event.message.topic] += 1
            if progress is not None:
                progress(event, sent_ns)
        self.wait_until_delivered()
        return PlaySummary(tuple(loops), latest_ns / 1e9)

    def send(self, message: RawBagMessage) -> None:
        """Publish one recorded message."""
        self.publishers[message.topic].publish(message.data)

    def tick(self, stamp_ns: int) -> None:
        """Publish the recorded time on the clock, if there is one."""
        if self._clock is not None:
            tick = Clock()
            tick.clock.sec, tick.clock.nanosec = ns_to_stamp(stamp_ns)
            self._clock.publish(tick)

    def wait_until_delivered(self) -> None:
        """Wait (bounded) until the subscribers have what was sent."""
        deadline = time.monotonic() + _DELIVERY_S
        for publisher in self.publishers.values():
            remaining_s = max(deadline - time.monotonic(), 0.0)
            publisher.wait_for_all_acked(Duration(nanoseconds=int(remaining_s * 1e9)))
        # Best-effort readers acknowledge nothing, and lose what they have not fetched by the end.
        time.sleep(_LINGER_S)

    def _playable(self, options: PlayOptions, remaps: Mapping[str, str]) -> list[BagTopic]:
        known = {topic.name: topic for topic in self.bag.topics}
        for name in [*(options.topics or ()), *remaps]:
            if name not in known:
                raise ConfigError(
                    f"{self.bag.path} has no topic {name!r}: it has {', '.join(known)}"
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
    bag: BagReader,
    options: PlayOptions,
    *,
    remaps: Mapping[str, str] | None = None,
    paused: bool = False,
) -> Iterator[BagPlayer]:
    """Give a player with a ROS context of its own, both removed afterwards.

    Signals stay the caller's: KeyboardInterrupt passes through.
    """
    with (
        own_context() as context,
        closing(BagPlayer(bag, options, remaps=remaps, context=context, paused=paused)) as player,
    ):
        yield player


def _offered(topic: BagTopic) -> QoSProfile:
    reliability = ReliabilityPolicy.RELIABLE if topic.reliable else ReliabilityPolicy.BEST_EFFORT
    if not topic.latched:
        # In lockstep much of the small messages goes out at once.
        depth = 10 if topic.msgtype in GATED_TYPES else 100
        return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=min(max(topic.count, 1), 1000),
        reliability=reliability,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
