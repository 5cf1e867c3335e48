"""Plays a bag in lockstep: the next image goes out when the nodes have answered the last one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rclpy.topic_endpoint_info import TopicEndpointInfo

from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.recording.lockstep import (
    GATED_TYPES,
    LockstepOptions,
    MissingOutput,
    Step,
    awaited_of,
    inputs_of_outputs,
    lockstep,
)
from cnn_perception.ros.awaited import AwaitedOutputs
from cnn_perception.ros.player import BagPlayer, LoopCounts, PlaySummary

__all__ = ["Lockstep"]

_POLL_S = 0.05
# From when this process knows of all others until they know of it too; ROS does not tell.
_SETTLE_S = 0.5
_UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"  # rmw's


class Lockstep:
    """Sends what a player has open, step by step.

    Call `wait_until_ready`, then `play`. Raises ConfigError for topics that cannot be gated or
    awaited.
    """

    def __init__(self, player: BagPlayer, options: LockstepOptions) -> None:
        self._player = player
        self._options = options
        self._types = player.types
        named = {*(options.gates or ()), *(gate for gate in options.outputs.values() if gate)}
        if unknown := sorted(named - set(self._types)):
            raise ConfigError(
                f"gated topic {unknown[0]!r} is not played: give its recorded name, one of "
                f"{', '.join(self._types)}"
            )
        # By their full names, which are those of the graph.
        resolve = player.node.resolve_topic_name
        self._outputs = {resolve(name): gate for name, gate in options.outputs.items()}
        played = {publisher.topic_name for publisher in player.publishers.values()}
        if own := sorted(played & set(self._outputs)):
            raise ConfigError(
                f"awaited {own[0]} is played from the bag: choose the topics to play without it"
            )
        self._named = frozenset(named)
        self._inputs: dict[str, str] = {}
        self._gates: frozenset[str] = frozenset()
        self._awaited = AwaitedOutputs(player.node, self._outputs)

    def wait_until_ready(
        self, timeout_s: float, listeners: Mapping[str, int] | None = None
    ) -> None:
        """Wait until each awaited output is published by a node that hears its gated topic.

        `listeners` (recorded name to number) asks for so many subscribers of a topic instead,
        whoever they are. Raises PerceptionError that names what is missing, ConfigError when it is
        not clear which topic an output answers.
        """
        expected = dict(listeners or {})
        deadline = time.monotonic() + timeout_s
        settled = False
        while (lacking := self._lacking(expected)) or not settled:
            if lacking and time.monotonic() > deadline:
                raise PerceptionError(f"{'; '.join(lacking)} after {timeout_s:g} s")
            self._player.check()
            settled = not lacking
            time.sleep(_SETTLE_S if settled else _POLL_S)

    def play(
        self, progress: Callable[[Step, Sequence[MissingOutput]], None] | None = None
    ) -> PlaySummary:
        """Send every step and wait for its outputs, at most as long as the options say.

        Returns early when the ROS context shuts down. `progress` hears of each step and of what
        did not come.
        """
        player, loops = self._player, list[LoopCounts]()
        missing: list[MissingOutput] = []
        steps = lockstep(player.bag, player.options, self._gates, self._options.run_ahead_ns)
        player.pace.start()
        for step in steps:
            if player.pace.wait(0, player.alive) is None:
                break
            if step.loop == len(loops):
                loops.append(LoopCounts(Counter(), Counter()))
            late = self._send(step, loops[-1])
            player.check()
            missing += late
            if progress is not None:
                progress(step, late)
        player.wait_until_delivered()
        return PlaySummary(tuple(loops), missing=tuple(missing))

    def _send(self, step: Step, counts: LoopCounts) -> list[MissingOutput]:
        """Send a step and wait for its outputs; returns those that did not come."""
        awaited = awaited_of(step, self._inputs)
        self._awaited.expect(awaited)
        self._player.tick(step.recorded_ns)
        for message in step.messages:
            self._player.send(message)
            counts.sent[message.topic] += 1
        absent = self._awaited.wait(self._options.patience_s, self._player.alive)
        for (topic, _), count in (awaited - absent).items():
            counts.answered[topic] += count
        return [MissingOutput(topic, stamp_ns, step.loop) for topic, stamp_ns in absent.elements()]

    def _lacking(self, expected: Mapping[str, int]) -> list[str]:
        """Say what is not there yet; when nothing is, gates and inputs are known."""
        silent = self._awaited.subscribe()
        lacking = [f"nobody publishes {topic}" for topic in silent]
        self._gates = self._named if self._options.gates else self._named | self._heard()
        if not self._gates:
            return [*lacking, "no played image or cloud has a subscriber"]
        gates = {name: self._types[name] for name in sorted(self._gates)}
        self._inputs = inputs_of_outputs(self._outputs, gates)
        wanted = {**dict.fromkeys(self._gates, 1), **expected}
        lacking += [
            f"too few subscribers on {topic}" for topic in self._player.lonely(wanted, others=0)
        ]
        return lacking + [
            f"the node of {output} does not listen to {gate} (--subscribers {gate}=1 does not ask "
            "for that)"
            for output, gate in self._inputs.items()
            if output not in silent and gate not in expected and not self._hears(output, gate)
        ]

    def _heard(self) -> frozenset[str]:
        return frozenset(
            name
            for name, publisher in self._player.publishers.items()
            if self._types[name] in GATED_TYPES and publisher.get_subscription_count()
        )

    def _hears(self, output: str, gate: str) -> bool:
        graph, topic = self._player.node, self._player.publishers[gate].topic_name
        answering = graph.get_publishers_info_by_topic(output)
        listening = graph.get_subscriptions_info_by_topic(topic)
        return any(
            _node(each) == _node(other) or _participant(each) == _participant(other)
            for each in answering
            for other in listening
            # Topics are discovered before the nodes that they belong to.
            if _UNKNOWN_NODE not in (each.node_name, other.node_name)
        )


def _node(endpoint: TopicEndpointInfo) -> tuple[str, str]:
    return endpoint.node_namespace, endpoint.node_name


def _participant(endpoint: TopicEndpointInfo) -> tuple[int, ...]:
    """Return whose it is, by its GUID: the nodes of one process share subscriptions."""
    return tuple(endpoint.endpoint_gid[:12])
