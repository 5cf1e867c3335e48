"""Whether each processed frame has one answer on each topic, under the header of its source."""

from __future__ import annotations

from collections.abc import Iterator

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
        topics = [tally for tally in _tallies(results) if tally.node in statistics]
        _walk(run, (source, results), topics, statistics)
        for topic in topics:
            yield topic.check(run, "headers", ", each under the header of its source")
        yield from _map_headers(results, statistics)
        yield from _strangers(results, statistics)
    speaking = {topic.node for topic in topics}
    for node, frames in statistics.items():
        if frames.processed and node != "mapper" and node not in speaking:
            text = f"processed {frames.processed} frames, but the results have no topic of it"
            yield Check(f"headers.{node}", False, text)


def _strangers(results: BagReader, statistics: ReplayStatistics) -> Iterator[Check]:
    """Yield a failed check for each topic whose node took no part, so that nobody looked at it."""
    for topic in _tallies(results):
        if topic.node and topic.node not in statistics:
            nodes = ", ".join(statistics)
            text = f"{topic.topic} belongs to no node of this replay: there were {nodes}"
            yield Check(f"headers.{topic.topic}", False, text)


def _tallies(results: BagReader) -> list[TopicTally]:
    return [TopicTally(name) for name in frame_topics(results)]


def _walk(
    run: ReplayRun,
    bags: tuple[BagReader, BagReader],
    topics: list[TopicTally],
    statistics: ReplayStatistics,
) -> None:
    source, results = bags
    nodes = {topic.node for topic in topics}
    processed = {node: _Processed(statistics[node]) for node in nodes}
    inputs = {name for node in nodes for name in statistics[node].topics}
    names = [topic.topic for topic in topics]
    optional = {topic.name for topic in results.topics if topic.msgtype == _DEPTH_DEPENDENT}
    for moment in lockstep(source, inputs, results, names, window_ns(run)):
        taken = {node: rest.take(moment.recorded_ns) for node, rest in processed.items()}
        sources = {
            name: [_header(source, raw) for raw in raws] for name, raws in moment.first.items()
        }
        for topic in topics:
            frames = statistics[topic.node]
            arrived = [h for name in sorted(frames.topics) for h in sources.get(name, ())]
            expected = _answered(arrived, taken[topic.node])
            actual = [_header(results, raw) for raw in moment.second.get(topic.topic, ())]
            if not actual and topic.topic in optional:
                actual = expected
            _compare(topic, moment.recorded_ns, expected, actual)
    left = {node: _answered([], rest.take(None)) for node, rest in processed.items()}
    for topic in topics:
        for header in left[topic.node]:
            actual = [header] if topic.topic in optional else []
            _compare(topic, header.stamp_ns, [header], actual)


def _compare(
    topic: TopicTally, recorded_ns: int, expected: list[Header], actual: list[Header]
) -> None:
    frames = max(len(expected), len(actual))
    if expected == actual:
        topic.frames += frames
    else:
        time = FrameTime(recorded_ns, (expected or actual)[0].stamp_ns)
        topic.take(time, Difference(_difference(expected, actual)), frames)


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


def _header(bag: BagReader, raw: RawBagMessage) -> Header:
    message = bag.deserialize(raw)
    if not hasattr(message, "header"):
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
    for name in (name for name in latched if "/" not in name[1:]):
        for item in results.messages([name]):
            header = decode_header(item.message.header)
            fits = bool(np.isin(header.stamp_ns, stamps))
            found = "as a scan that it holds" if fits else "which no scan has that was mapped"
            text = f"the stamp is {stamp_text(header.stamp_ns)}, {found}"
            yield Check(f"headers.{name}", fits, text, None if fits else header.stamp_ns)
            break
