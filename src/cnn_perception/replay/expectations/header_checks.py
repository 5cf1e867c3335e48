"""Whether each processed frame has one answer on each topic, under the header of its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from cnn_perception.errors import BagError
from cnn_perception.messages.decode import decode_header
from cnn_perception.recording.bag import BagReader, RawBagMessage
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.comparers import Difference
from cnn_perception.replay.expectations.frame_statistics import NodeStatistics, ReplayStatistics
from cnn_perception.replay.expectations.topic_tally import TopicTally
from cnn_perception.replay.moments import FrameTime, stamp_text, window_ns
from cnn_perception.replay.run import ReplayRun
from cnn_perception.replay.side_by_side import frame_topics, lockstep
from cnn_perception.types import Header

__all__ = ["check_headers"]

_DEPTH_DEPENDENT = "vision_msgs/msg/Detection3DArray"
"""Comes for those frames only that have depth."""


@dataclass(slots=True)
class _ResultTopic:
    """A topic of results on the way: which node's, and what was wrong so far.

    optional: a frame may have no answer; bare: its messages may have no header, so that only how
    many came, and when, can be held to anything.
    """

    name: str
    node: str
    optional: bool
    bare: bool = False
    tally: TopicTally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = TopicTally(self.name)

    def compare(self, recorded_ns: int, expected: list[Header], actual: list[Header]) -> None:
        frames = max(len(expected), len(actual))
        if expected == actual or (self.optional and not actual):
            self.tally.frames += frames
            return
        time = FrameTime(recorded_ns, (expected or actual)[0].stamp_ns)
        self.tally.take(time, Difference(_difference(expected, actual)), frames)


class _Processed:
    """The processed frames of a node, taken off in the order in which they were recorded."""

    def __init__(self, frames: NodeStatistics) -> None:
        recorded = np.asarray(frames.recorded_ns, np.int64)
        order = np.argsort(recorded, kind="stable")
        self._recorded = recorded[order]
        self._stamps = np.asarray(frames.stamps_ns, np.int64)[order]
        self._place = 0

    def take(self, recorded_ns: int | None) -> list[int]:
        """Return the stamps of the frames that were recorded until then, and not taken yet.

        None takes all that is left.
        """
        start, self._place = self._place, len(self._recorded)
        if recorded_ns is not None:
            self._place = int(np.searchsorted(self._recorded, recorded_ns, "right"))
        stamps: list[int] = self._stamps[start : self._place].tolist()
        return stamps


def check_headers(run: ReplayRun, statistics: ReplayStatistics) -> Iterator[Check]:
    """Yield a check for each topic of results, and for each node that publishes none."""
    with BagReader(run.bag) as source, BagReader(run.results) as results:
        topics = _topics(results, statistics)
        _walk(run, (source, results), topics, statistics)
        for topic in topics:
            yield topic.tally.check(run, "headers", ", each under the header of its source")
        yield from _map_headers(results, statistics)
        yield from _strangers(results, statistics)
    speaking = {topic.node for topic in topics} | {"mapper"}
    for node, frames in statistics.items():
        if frames.processed and frames.publishes is None and node not in speaking:
            text = f"processed {frames.processed} frames, but the results have no topic of it"
            yield Check(f"headers.{node}", False, text)


def _topics(results: BagReader, statistics: ReplayStatistics) -> list[_ResultTopic]:
    types = {topic.name: topic.msgtype for topic in results.topics}
    declared = _declared(statistics)
    found = []
    for name in frame_topics(results):
        node = _node(name)
        if node in statistics and name not in declared:
            found.append(_ResultTopic(name, node, types[name] == _DEPTH_DEPENDENT))
    for name, (node, often) in declared.items():
        if often != "latched" and (name in types or statistics[node].processed):
            found.append(_ResultTopic(name, node, often == "sometimes", bare=True))
    return found


def _declared(statistics: ReplayStatistics) -> dict[str, tuple[str, str]]:
    """Return the topics of installed components: the node's name, and how often they speak."""
    return {
        topic: (node, often)
        for node, frames in statistics.items()
        for topic, often in (frames.publishes or {}).items()
    }


def _strangers(results: BagReader, statistics: ReplayStatistics) -> Iterator[Check]:
    """Yield a failed check for each topic whose node took no part, so that nobody looked at it."""
    declared = _declared(statistics)
    for name in frame_topics(results):
        node = _node(name)
        if node and node not in statistics and name not in declared:
            text = f"{name} belongs to no node of this replay: there were {', '.join(statistics)}"
            yield Check(f"headers.{name}", False, text)


def _node(topic: str) -> str:
    return topic.strip("/").rpartition("/")[0]


def _walk(
    run: ReplayRun,
    bags: tuple[BagReader, BagReader],
    topics: list[_ResultTopic],
    statistics: ReplayStatistics,
) -> None:
    source, results = bags
    nodes = {topic.node for topic in topics}
    processed = {node: _Processed(statistics[node]) for node in nodes}
    inputs = {name for node in nodes for name in statistics[node].topics}
    # What one node said to another is in the results, whether it was recorded as well or not.
    said = inputs & {topic.name for topic in results.topics}
    names = {topic.name for topic in topics} | said
    for moment in lockstep(source, inputs - said, results, names, window_ns(run)):
        taken = {node: rest.take(moment.recorded_ns) for node, rest in processed.items()}
        arrivals = {name: (source, raws) for name, raws in moment.first.items()}
        arrivals |= {name: (results, moment.second.get(name, [])) for name in said}
        sources = {
            name: [_header(bag, raw, Header(raw.stamp_ns, "")) for raw in raws]
            for name, (bag, raws) in arrivals.items()
        }
        for topic in topics:
            frames = statistics[topic.node]
            arrived = [h for name in sorted(frames.topics) for h in sources.get(name, ())]
            expected = _answered(arrived, taken[topic.node])
            raws = moment.second.get(topic.name, [])
            likes = [*expected, *(Header(raw.stamp_ns, "") for raw in raws)]
            actual = [
                _header(results, raw, like if topic.bare else None)
                for raw, like in zip(raws, likes, strict=False)
            ]
            topic.compare(moment.recorded_ns, expected, actual)
    left = {node: _answered([], rest.take(None)) for node, rest in processed.items()}
    for topic in topics:
        for header in left[topic.node]:
            topic.compare(header.stamp_ns, [header], [])


def _answered(arrived: list[Header], stamps_ns: list[int]) -> list[Header]:
    """Return the headers of the frames that were processed.

    A processed frame that the recording does not have keeps its stamp and no frame, which no
    answer can match.
    """
    left = list(arrived)
    answered = []
    for stamp_ns in stamps_ns:
        found = next((header for header in left if header.stamp_ns == stamp_ns), None)
        if found is None:
            answered.append(Header(stamp_ns, "(no such image in the recording)"))
        else:
            left.remove(found)
            answered.append(found)
    return answered


def _header(bag: BagReader, raw: RawBagMessage, like: Header | None) -> Header:
    """Return a message's header; of one without, another, or BagError where None is given."""
    message = bag.deserialize(raw)
    if not hasattr(message, "header"):
        if like is not None:
            return like
        raise BagError(
            f"{raw.msgtype} on {raw.topic} of {bag.path} has no header: results have one for "
            "each frame; replay the bag again"
        )
    return decode_header(message.header)


def _difference(expected: list[Header], actual: list[Header]) -> str:
    if len(actual) < len(expected):
        return f"{len(actual)} of {len(expected)} answers came"
    if len(actual) > len(expected):
        return f"{len(actual)} answers came where {len(expected)} frames were processed"
    pairs = zip(expected, actual, strict=True)
    want, have = next((want, have) for want, have in pairs if want != have)
    if want.stamp_ns != have.stamp_ns:
        early = have.stamp_ns - want.stamp_ns
        return f"the answer's stamp is {early:+d} ns from that of its source"
    return f"the answer's frame_id is {have.frame_id!r}, that of its source {want.frame_id!r}"


def _map_headers(results: BagReader, statistics: ReplayStatistics) -> Iterator[Check]:
    """Check that maps have the stamp of a scan that went into them; their frame is their own."""
    mapped = statistics["mapper"].stamps_ns if "mapper" in statistics else ()
    stamps = np.asarray(mapped, np.int64)
    latched = [topic.name for topic in results.topics if topic.latched and topic.count]
    declared = _declared(statistics)
    for name in (name for name in latched if "/" not in name[1:] and name not in declared):
        for item in results.messages([name]):
            header = decode_header(item.message.header)
            fits = bool(np.isin(header.stamp_ns, stamps))
            found = "as a scan that it holds" if fits else "which no scan has that was mapped"
            text = f"the stamp is {stamp_text(header.stamp_ns)}, {found}"
            yield Check(f"headers.{name}", fits, text, None if fits else header.stamp_ns)
            break
