"""A replay against golden results: topics, frames, and every answer within its tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cnn_perception.errors import BagError, MessageError
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagReader, BagTopic, RawBagMessage
from cnn_perception.replay.class_names import names_of, read_class_names
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.comparers import Comparer, Difference, comparer
from cnn_perception.replay.expectations.golden import Golden, is_golden_topic, read_golden
from cnn_perception.replay.expectations.latched_checks import check_latched
from cnn_perception.replay.expectations.schema import Tolerance
from cnn_perception.replay.expectations.topic_tally import TopicTally
from cnn_perception.replay.moments import FrameTime
from cnn_perception.replay.run import ReplayRun
from cnn_perception.replay.side_by_side import AlignedMessages, lockstep

__all__ = ["check_golden"]


def check_golden(run: ReplayRun, path: Path, tolerance: Tolerance) -> Iterator[Check]:
    """Yield the checks of a replay against golden results; one that fails where there are none."""
    try:
        golden = read_golden(path)
        with BagReader(path) as expected, BagReader(run.results) as actual:
            yield _same_recording(run, golden)
            yield from _same_frames(run, golden)
            yield _same_topics(golden, expected, actual, tolerance)
            yield from _answers(run, golden, (expected, actual), tolerance)
            yield from check_latched(run, (expected, actual), tolerance)
    except (BagError, MessageError) as error:
        yield Check("golden", False, str(error))


def _same_recording(run: ReplayRun, golden: Golden) -> Check:
    keys = ("start_ns", "end_ns", "messages", "window_s")
    bag = run.summary["bag"]
    wrong = [
        f"{key} {bag.get(key)}, golden {golden.bag.get(key)}"
        for key in keys
        if bag.get(key) != golden.bag.get(key)
    ]
    text = f"the golden results are of this recording, {golden.bag.get('name')}"
    if wrong:
        text = (
            f"the golden results are of another recording or part of it ({'; '.join(wrong)}): "
            "name another, or make them with --update"
        )
    return Check("golden.bag", not wrong, text)


def _same_frames(run: ReplayRun, golden: Golden) -> Iterator[Check]:
    """Check that each node took and dropped as many messages as before."""
    nodes = run.summary["nodes"]
    for node in sorted({*nodes, *golden.nodes}):
        now, before = nodes.get(node), golden.nodes.get(node)
        name = f"golden.frames.{node}"
        if now is None or before is None:
            text = "is new, --update takes it in" if before is None else "did not run"
            yield Check(name, False, f"the node {node} {text}")
            continue
        wrong = [
            f"{key} {now.get(key)}, expected {before.get(key)}"
            for key in ("received", "processed", "dropped")
            if now.get(key) != before.get(key)
        ]
        text = "; ".join(wrong) or f"processed {now.get('processed')} messages, as expected"
        yield Check(name, not wrong, text)


def _same_topics(
    golden: Golden, expected: BagReader, actual: BagReader, tolerance: Tolerance
) -> Check:
    want = {topic.name: topic.msgtype for topic in _compared(expected, tolerance)}
    have = {topic.name: topic.msgtype for topic in actual.topics}
    wrong = [f"{name} is missing" for name in want if name not in have]
    for topic in _compared(actual, tolerance):
        if topic.name not in want:
            kept = "the golden results left it out" if topic.name in golden.left_out else "is new"
            wrong.append(f"{topic.name}: {kept}, --update takes it in")
        elif topic.msgtype != want[topic.name]:
            wrong.append(f"{topic.name} is {topic.msgtype}, expected {want[topic.name]}")
    return Check("golden.topics", not wrong, "; ".join(wrong) or f"{len(want)} topics are there")


def _compared(bag: BagReader, tolerance: Tolerance) -> list[BagTopic]:
    return [topic for topic in bag.topics if is_golden_topic(topic, tolerance)]


def _answers(
    run: ReplayRun, golden: Golden, bags: tuple[BagReader, BagReader], tolerance: Tolerance
) -> Iterator[Check]:
    comparers = _comparers(golden, bags, tolerance)
    topics = {name: TopicTally(name) for name in comparers}
    for moment in lockstep(bags[0], topics, bags[1], topics):
        for topic in topics.values():
            _compare(topic, comparers[topic.topic], moment, bags)
    for topic in topics.values():
        yield topic.check(run, "golden", " are as expected")


def _comparers(
    golden: Golden, bags: tuple[BagReader, BagReader], tolerance: Tolerance
) -> dict[str, Comparer]:
    """Return how to compare each topic that both bags have for each frame."""
    there = {topic.name: topic.msgtype for topic in bags[1].topics}
    classes = read_class_names(bags[0])
    found = {}
    for topic in _compared(bags[0], tolerance):
        if topic.latched or there.get(topic.name) != topic.msgtype:
            continue
        names = names_of(classes, topic.name.rpartition("/")[0])
        lowest = names.threshold if names else golden.lowest_scores.get(topic.name)
        found[topic.name] = comparer(topic.name, topic.msgtype, tolerance, names, lowest)
    return found


def _compare(
    topic: TopicTally,
    compare: Comparer,
    moment: AlignedMessages,
    bags: tuple[BagReader, BagReader],
) -> None:
    pairs = zip_longest(moment.first.get(topic.topic, ()), moment.second.get(topic.topic, ()))
    for first, second in pairs:
        stamp_ns = moment.recorded_ns
        try:
            expected, actual = _message(bags[0], first), _message(bags[1], second)
            header = getattr(actual if expected is None else expected, "header", None)
            if header is not None:
                stamp_ns = stamp_to_ns(header.stamp)
            found = compare(expected, actual)
        except MessageError as error:
            found = Difference(str(error))
        topic.take(FrameTime(moment.recorded_ns, stamp_ns), found)


def _message(bag: BagReader, raw: RawBagMessage | None) -> Any:
    return None if raw is None else bag.deserialize(raw)
