"""Components over a recording: messages in recorded order, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from cnn_perception.components.component import (
    Component,
    Done,
    Event,
    Input,
    Output,
    Setup,
    Topic,
    undeclared,
)
from cnn_perception.components.registry import component_kind
from cnn_perception.errors import MessageError
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages import DROP_REASONS, drop_reason
from cnn_perception.messages.frame import Frame
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS, JumpDetector
from cnn_perception.recording.bag import BagMessage, BagReader
from cnn_perception.recording.compose import encode
from cnn_perception.recording.prefetch import prefetch
from cnn_perception.recording.streams import TF, TF_STATIC
from cnn_perception.replay.inputs import Inputs
from cnn_perception.replay.plan import ReplayPlan
from cnn_perception.replay.remapping import PublishedTopic, Sources
from cnn_perception.replay.results import ResultsWriter
from cnn_perception.replay.run import PROCESSED, FrameRecord
from cnn_perception.runtime.inference import InferencePool

__all__ = ["Progress", "ReplayHost", "ReplayNode"]

Progress = Callable[[int, int], None]
"""Called with how many messages of the bag are done, of how many."""

_AHEAD = 16
_TF_BEFORE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ReplayNode:
    """A component, and what it reads: names of topics by those of its inputs."""

    name: str
    component: Component
    feeds: Mapping[str, tuple[str, ...]]

    @property
    def inputs(self) -> list[tuple[str, Input]]:
        """The topics that it reads, each with what takes its messages."""
        inputs = self.component.inputs()
        return [(topic, each) for each in inputs for topic in self.feeds.get(each.name, ())]

    @property
    def topics(self) -> list[str]:
        """The names of all that it reads."""
        poses = (TF, TF_STATIC) if self.component.uses_transforms else ()
        return [*(topic for topic, _ in self.inputs), *poses]

    @property
    def main_topics(self) -> list[str]:
        """The names of those whose messages it accounts for."""
        return [topic for topic, each in self.inputs if each.counted]

    @property
    def camera(self) -> str:
        """The name of its camera, before its own; empty where it has none."""
        return self.name.rpartition("/")[0]

    @property
    def results(self) -> dict[str, Topic]:
        """What a replay writes of it, by full names."""
        return {self.full(each.name): each for each in self.component.outputs() if each.recorded}

    def full(self, topic: str) -> str:
        """Return the full name of a topic that it publishes, as ROS expands it."""
        if topic.startswith("~"):
            return f"/{self.name}{topic[1:]}"
        return f"/{self.camera}/{topic}".replace("//", "/") if topic[0] != "/" else topic


class ReplayHost:
    """Runs the components that a plan asks for and a bag can feed.

    Its clock is the recorder's. What a component publishes may be the input of another.
    """

    def __init__(self, bag: BagReader, plan: ReplayPlan, inputs: Inputs) -> None:
        self._bag = bag
        self._plan = plan
        self.transforms = TransformBuffer(jump_ns=BACKWARD_JUMP_NS)
        self._networks = InferencePool()
        self.nodes = [
            self._make(kind, name, values, feeds)
            for kind, name, values, feeds in inputs.wiring(plan)
        ]
        for kind in plan.others:
            self.nodes += self._installed(kind, inputs)
        self._published = {topic for node in self.nodes for topic in node.results}
        self._outputs = {
            (node.name, topic.name): topic
            for node in self.nodes
            for topic in node.component.outputs()
        }
        self._jumps = {node.name: JumpDetector() for node in self.nodes}
        self._readers: dict[str, list[tuple[ReplayNode, Input]]] = {}
        for node in self.nodes:
            for topic, each in node.inputs:
                self._readers.setdefault(topic, []).append((node, each))

    def run(self, results: ResultsWriter, progress: Progress) -> None:
        """Hand every message to the components that read its topic, and write what they yield."""
        self._results = results
        for node in self.nodes:
            for output in node.component.announce():
                self._publish(node, output, self._start_ns)
        total = sum(self._bag.topic(name).count for name in self._topics)
        with closing(prefetch(map(self._received, self._messages()), _AHEAD)) as read_ahead:
            for done, frame in enumerate(read_ahead, 1):
                self._hand_out(frame)
                progress(done, total)
        for node in self.nodes:
            self._settle_all(node, node.component.finish())

    def _make(
        self, kind: str, name: str, values: Mapping[str, Any], feeds: Mapping[str, tuple[str, ...]]
    ) -> ReplayNode:
        recorded: set[str] = set()
        setup = Setup(
            name,
            values,
            encode,
            reads=recorded.__contains__,
            networks=self._networks,
            transforms=self.transforms,
            patience_ns=round(self._plan.patience_s * 1e9),
            timeless=True,
        )
        component = component_kind(kind)(setup)
        recorded.update(topic.name for topic in component.outputs() if topic.recorded)
        return ReplayNode(name, component, feeds)

    def _installed(self, kind: str, inputs: Inputs) -> list[ReplayNode]:
        """Make an installed component: one for each camera, or one that reads nothing of them."""
        values, remap = self._plan.parameters[kind], self._plan.remap.get(kind, {})
        published = [
            PublishedTopic(name, topic.msgtype, node.camera)
            for node in self.nodes
            for name, topic in node.results.items()
        ]
        made = []
        for camera, images in inputs.cameras.items():
            node = self._make(kind, f"{camera}/{kind}".strip("/"), values, {})
            sources = Sources(camera, images, published, inputs.recorded)
            feeds = sources.feeds(kind, node.component.inputs(), remap)
            if camera and not feeds.of_camera:
                node.component.close()
                return [self._make(kind, kind, values, feeds.topics)]
            made.append(replace(node, feeds=feeds.topics))
        return made

    # --- messages

    @property
    def _topics(self) -> list[str]:
        # What a node publishes here is not taken from the bag as well, where it was recorded too.
        read = {topic for node in self.nodes for topic in node.topics} - self._published
        return [topic.name for topic in self._bag.topics if topic.name in read]

    @property
    def _start_ns(self) -> int:
        return self._bag.start_ns + round(self._plan.window_s[0] * 1e9)

    def _messages(self) -> Iterator[BagMessage]:
        """Yield the messages of the window, and before them those that hold in it already."""
        stop_s = self._plan.window_s[1]
        stop_ns = None if stop_s is None else self._bag.start_ns + round(stop_s * 1e9)
        start_ns, topics = self._start_ns, self._topics
        if start_ns > self._bag.start_ns:
            # Whether a recorder noted that static transforms are latched, or not: they are. Images
            # that are, a live node would not get: it subscribes to what comes.
            main = {name for node in self.nodes for name in node.main_topics}
            latched = {TF_STATIC, *(topic.name for topic in self._bag.topics if topic.latched)}
            held = [name for name in topics if name in latched - main]
            yield from self._bag.messages(held, stop_ns=start_ns)
            if TF in topics:
                yield from self._bag.messages(
                    [TF], start_ns=start_ns - _TF_BEFORE_NS, stop_ns=start_ns
                )
        yield from self._bag.messages(topics, start_ns=start_ns, stop_ns=stop_ns)

    def _received(self, item: BagMessage) -> Frame:
        """Return a message whose pixels are decoded, which happens while others are worked on."""
        frame = Frame(item.message, item.topic, item.stamp_ns)
        self.decode(frame)
        return frame

    def decode(self, frame: Frame) -> None:
        """Decode the pixels that readers of a message will ask for."""
        for _, each in self._readers.get(frame.topic, ()):
            if each.decode is not None:
                with suppress(MessageError):  # raised again where somebody asks for them
                    each.decode(frame)

    def _hand_out(self, frame: Frame) -> None:
        for node in self.nodes:
            deadline_ns = node.component.deadline_ns
            if deadline_ns is not None and frame.received_ns >= deadline_ns:
                self._settle_all(node, node.component.advance(frame.received_ns))
        if frame.topic in (TF, TF_STATIC):
            self.transforms.learn(frame.message, frame.topic == TF_STATIC)
            for node in self.nodes:
                if node.component.deadline_ns is not None:
                    self._settle_all(node, node.component.advance(frame.received_ns))
        self._feed(frame)

    def _feed(self, frame: Frame) -> None:
        for node, each in self._readers.get(frame.topic, ()):
            if each.counted:
                stamp_ns = frame.header.stamp_ns
                if self._jumps[node.name].jump_ns(frame.topic, stamp_ns):
                    self._settle_all(node, node.component.rewind(stamp_ns))
            self._take(node, each, frame)

    def _take(self, node: ReplayNode, each: Input, frame: Frame) -> None:
        start_s = time.perf_counter() - frame.decode_s
        settled = False
        try:
            if each.counted and (reason := node.component.admit(frame)):
                known = {**DROP_REASONS, **node.component.drop_reasons}
                raise MessageError(reason, known.get(reason, reason))
            for event in each.take(frame):
                if isinstance(event, Done) and event.frame is frame and not each.waits:
                    settled = True
                    self._note(node, event, time.perf_counter() - start_s)
                else:
                    self._settle(node, event, frame)
        except Exception as error:  # as in a live node, one bad message does not end the others
            if each.counted and not settled:
                self._note(node, Done(frame, error=error), 0.0)
        else:
            if each.counted and not each.waits and not settled:
                self._note(node, Done(frame), time.perf_counter() - start_s)

    # --- answers

    def _settle_all(self, node: ReplayNode, events: Iterable[Event]) -> None:
        for event in events:
            self._settle(node, event)

    def _settle(self, node: ReplayNode, event: Event, frame: Frame | None = None) -> None:
        if isinstance(event, Done):
            self._note(node, event, event.frame.decode_s + event.compute_s)
        elif (of := event.frame or frame) is not None:
            self._publish(node, event, of.received_ns)

    def _publish(self, node: ReplayNode, output: Output, recorded_ns: int) -> None:
        topic = self._outputs.get((node.name, output.topic))
        if topic is None:
            raise undeclared(output.topic, (each.name for each in node.component.outputs()))
        if not topic.recorded:
            return
        name = node.full(topic.name)
        self._results.write(name, topic.msgtype, output.message, recorded_ns, latched=topic.latched)
        self._feed(Frame(output.message, name, recorded_ns))

    def _note(self, node: ReplayNode, done: Done, seconds: float) -> None:
        frame, error = done.frame, done.error
        outcome, detail, milliseconds = PROCESSED, "", round(seconds * 1e3, 3)
        if error is not None:
            outcome, detail, milliseconds = drop_reason(error), str(error), 0.0
            if outcome == "internal_error":
                detail = f"{type(error).__name__}: {error}"
        self._results.note(
            FrameRecord(
                node.name,
                frame.topic,
                frame.header.stamp_ns,
                frame.received_ns,
                outcome,
                milliseconds,
                done.found if error is None else 0,
                " ".join(detail.split()),
            )
        )
