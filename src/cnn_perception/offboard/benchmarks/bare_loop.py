"""What the nodes' components cost by themselves: one thread that hands them a bag's messages."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cnn_perception.components.component import Event, Output
from cnn_perception.components.mapper import MapperComponent
from cnn_perception.errors import BagError
from cnn_perception.messages.frame import Frame
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagMessage, BagReader, typestore
from cnn_perception.recording.compose import encode
from cnn_perception.recording.streams import TF, TF_STATIC
from cnn_perception.replay.host import ReplayHost, ReplayNode
from cnn_perception.replay.inputs import find_inputs
from cnn_perception.replay.plan import NODES, ReplayPlan
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


class BareLoop:
    """The components of all four nodes over a drive that lies in memory, in recorded order.

    What is timed: decoding of images, the components' work, encoding of all that the nodes publish
    to a reader of `live_reader.RESULTS`; the map once a recorded second. shared: as in one process,
    where an image is decoded once and equal networks look at it once; otherwise each component is
    on its own, as in four processes. Raises BagError for a drive without an RGB-D camera and /tf.
    """

    def __init__(self, path: Path, *, shared: bool) -> None:
        self._hosts, color = _hosts(path, shared)
        topics = {topic for host in self._hosts for node in host.nodes for topic in node.topics}
        with BagReader(path) as bag:
            have = {topic.name for topic in bag.topics}
            self._messages = tuple(bag.messages(have & topics))
        self._shared = shared
        self.frames = sum(item.topic == color for item in self._messages)
        self.digests: dict[tuple[str, int], str] = {}
        self._pass(keep=True)

    def measure(self) -> dict[str, float]:
        """Go through the drive once more; returns milliseconds of processor time per frame.

        By component, and those of `decode` where all share it.
        """
        return {name: 1e3 * used / self.frames for name, used in self._pass(keep=False).items()}

    def _pass(self, *, keep: bool) -> Mapping[str, float]:
        used: defaultdict[str, float] = defaultdict(float)
        first_ns = self._messages[0].stamp_ns
        for host in self._hosts:
            for node in host.nodes:
                list(node.component.rewind(first_ns))
        map_due_ns = first_ns + _MAP_PERIOD_NS
        for item in self._messages:
            for host in self._hosts:
                frame = Frame(item.message, item.topic, item.stamp_ns)
                if self._shared:
                    _timed(used, "decode", partial(host.decode, frame))
                for node in host.nodes:
                    events = _timed(used, node.name, partial(_take, host, node, frame))
                    if keep:
                        self._keep(node, events)
                    mapper = node.component
                    if isinstance(mapper, MapperComponent) and item.stamp_ns >= map_due_ns:
                        map_due_ns += _MAP_PERIOD_NS
                        _timed(used, node.name, partial(_map_message, mapper, item))
        return used

    def _keep(self, node: ReplayNode, events: Iterable[Event]) -> None:
        kinds = {topic.name: topic for topic in node.component.outputs()}
        for event in events:
            if isinstance(event, Output) and kinds[event.topic].recorded:
                topic = f"/{event.topic.replace('~', node.name)}"
                stamp_ns = stamp_to_ns(event.message.header.stamp)
                self.digests[topic, stamp_ns] = digest(kinds[event.topic].msgtype, event.message)


def _take(host: ReplayHost, node: ReplayNode, frame: Frame) -> list[Event]:
    events: list[Event] = []
    if frame.topic in (TF, TF_STATIC) and node.component.uses_transforms:
        host.transforms.learn(frame.message, frame.topic == TF_STATIC)
        events += node.component.advance(frame.received_ns)
    for topic, each in node.inputs:
        if topic == frame.topic:
            events += each.take(frame)
    return events


def _timed(used: defaultdict[str, float], name: str, job: Callable[[], R]) -> R:
    start = time.process_time()
    result = job()
    used[name] += time.process_time() - start
    return result


def digest(msgtype: str, message: Any) -> str:
    """Return what tells whether two messages of the bag's kind are equal, padding left out."""
    return hashlib.sha256(typestore().serialize_cdr(message, msgtype)).hexdigest()


def _hosts(path: Path, shared: bool) -> tuple[list[ReplayHost], str]:
    """Return hosts of the components, one for all or one for each; the topic of color images."""
    complete = {name: NODES[name].complete(values) for name, values in PARAMETERS.items()}
    groups = [tuple(PARAMETERS)] if shared else [(name,) for name in PARAMETERS]
    with BagReader(path) as bag:
        hosts = []
        for names in groups:
            parameters = {name: complete[name] for name in names}
            plan = ReplayPlan(parameters=parameters, required=frozenset(names))
            inputs = find_inputs(bag, plan)
            hosts.append(ReplayHost(bag, plan, inputs))
        (camera,) = inputs.cameras.values()
    if not camera.color:
        raise BagError(f"{path} has no color images: record them too")
    return hosts, camera.color


def _map_message(mapper: MapperComponent, item: BagMessage) -> Any:
    payload, resolution = mapper.occupancy.binary_payload(), mapper.occupancy.config.resolution
    header = encode.header(Header(item.stamp_ns, "map"))
    return encode.octomap(header, payload, resolution, binary=True)
