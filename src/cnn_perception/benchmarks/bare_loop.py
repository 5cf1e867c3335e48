"""What the nodes' components cost by themselves: one thread that hands them a bag's messages."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cnn_perception.errors import BagError
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagMessage, BagReader, typestore
from cnn_perception.recording.compose import encode
from cnn_perception.replay.inputs import find_inputs
from cnn_perception.replay.nodes.mapper import MapperReplay
from cnn_perception.replay.nodes.networks import DetectorReplay, ExplainerReplay, SegmenterReplay
from cnn_perception.replay.nodes.node import Answer, Arrival, ReplayNode
from cnn_perception.replay.plan import NODES, ReplayPlan
from cnn_perception.runtime.inference import InferencePool
from cnn_perception.types import Header

__all__ = ["PARAMETERS", "BareLoop", "digest"]

R = TypeVar("R")

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "detector": {"use_depth": True},
    "segmenter": {},
    # A budget would make the answers depend on the clock.
    "explainer": {"budget_ms": 10_000.0},
    "mapper": {"sensor_model.max_range": 5.0},
}
"""What the nodes are told, live and here, where it is not their default."""

_MAP_PERIOD_NS = 1_000_000_000  # the mapper's default publish_rate


@dataclass(frozen=True, slots=True)
class _Input:
    """A drive in memory, decoded from its serialised form: its messages, and its colour topic."""

    path: Path
    messages: tuple[BagMessage, ...]
    color: str

    @classmethod
    def read(cls, path: Path, topics: Iterable[str], color: str) -> _Input:
        with BagReader(path) as bag:
            have = {topic.name for topic in bag.topics}
            return cls(path, tuple(bag.messages(have & set(topics))), color)


class BareLoop:
    """The components of all four nodes over a drive that lies in memory, in recorded order.

    What is timed: decoding of images, the components' work, encoding of all that the nodes publish
    to a reader of `live_reader.RESULTS`; the map once a recorded second. shared: as in one process,
    where an image is decoded once and equal networks look at it once; otherwise each component is
    on its own, as in four processes. Raises BagError for a drive without an RGB-D camera and /tf.
    """

    def __init__(self, path: Path, *, shared: bool) -> None:
        self._components, color = _components(path, shared)
        topics = {topic for node in self._components.values() for topic in node.inputs}
        self._input = _Input.read(path, topics, color)
        self._shared = shared
        self.frames = sum(item.topic == color for item in self._input.messages)
        self.digests: dict[tuple[str, int], str] = {}
        self._pass(keep=True)

    def measure(self) -> dict[str, float]:
        """Go through the drive once more; returns milliseconds of processor time per frame.

        By component, and those of `decode` where all share it.
        """
        return {name: 1e3 * used / self.frames for name, used in self._pass(keep=False).items()}

    def _pass(self, *, keep: bool) -> Mapping[str, float]:
        used: defaultdict[str, float] = defaultdict(float)
        first_ns = self._input.messages[0].stamp_ns
        for node in self._components.values():
            list(node.rewind(first_ns))
        map_due_ns = first_ns + _MAP_PERIOD_NS
        for item in self._input.messages:
            shared = _timed(used, "decode", partial(self._arrival, item)) if self._shared else None
            for name, node in self._components.items():
                if item.topic in node.inputs:
                    answers = _timed(used, name, partial(self._take, node, item, shared))
                    if keep:
                        self._keep(answers)
            if item.stamp_ns >= map_due_ns:
                map_due_ns += _MAP_PERIOD_NS
                _timed(used, "mapper", partial(_map_message, self._components["mapper"], item))
        return used

    def _take(self, node: ReplayNode, item: BagMessage, arrival: Arrival | None) -> list[Answer]:
        return list(node.take(arrival or self._arrival(item)))

    def _arrival(self, item: BagMessage) -> Arrival:
        return Arrival(item, color=item.topic == self._input.color)

    def _keep(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            for output in answer.outputs:
                key = output.topic, stamp_to_ns(output.message.header.stamp)
                self.digests[key] = digest(output.msgtype, output.message)


def _timed(used: defaultdict[str, float], name: str, job: Callable[[], R]) -> R:
    start = time.process_time()
    result = job()
    used[name] += time.process_time() - start
    return result


def digest(msgtype: str, message: Any) -> str:
    """Return what tells whether two messages of the bag's kind are equal, padding left out."""
    return hashlib.sha256(typestore().serialize_cdr(message, msgtype)).hexdigest()


def _components(path: Path, shared: bool) -> tuple[dict[str, ReplayNode], str]:
    """Return the components by the names of their nodes, and the topic of the colour images."""
    plan = ReplayPlan(
        parameters={name: NODES[name].complete(values) for name, values in PARAMETERS.items()},
        required=frozenset(PARAMETERS),
    )
    with BagReader(path) as bag:
        inputs = find_inputs(bag, plan)
        counts = {topic.name: topic.count for topic in bag.topics}
    (camera,) = inputs.cameras.values()
    if not camera.color:
        raise BagError(f"{path} has no colour images: record them too")
    patience_ns, pool = round(plan.patience_s * 1e9), InferencePool()
    made: dict[str, ReplayNode] = {
        name: kind(
            *(name, plan.parameters[name], camera),
            *(pool if shared else InferencePool(), patience_ns),
        )
        for name, kind in (
            ("detector", DetectorReplay),
            ("segmenter", SegmenterReplay),
            ("explainer", ExplainerReplay),
        )
    }
    values = plan.parameters["mapper"]
    made["mapper"] = MapperReplay(values, inputs.scans, patience_ns, counts, {})
    return made, camera.color


def _map_message(node: ReplayNode, item: BagMessage) -> Any:
    assert isinstance(node, MapperReplay)
    mapper = node.mapper
    header = encode.header(Header(item.stamp_ns, "map"))
    return encode.octomap(header, mapper.binary_payload(), mapper.config.resolution, binary=True)
