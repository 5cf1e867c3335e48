"""Labels that must, or must not, be seen in a part of the recording."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_perception.messages.decode import (
    LabelledBoxes,
    decode_classification,
    decode_detections,
    decode_header,
    decode_mask,
)
from cnn_perception.recording.bag import BagReader, BagTopic
from cnn_perception.replay.class_names import ClassNames, names_of, read_class_names
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.failure_pictures import (
    Page,
    box_page,
    mask_page,
    write_picture,
)
from cnn_perception.replay.expectations.frame_checks import missing_node
from cnn_perception.replay.expectations.schema import LabelTerm
from cnn_perception.replay.moments import FrameTime, at, seconds
from cnn_perception.replay.run import ReplayRun
from cnn_perception.settings import nearest

__all__ = ["check_labels"]

_OUTPUTS = ("detections", "explained", "classification", "mask")
"""Outputs of the package's own nodes that say what is seen."""

_DECODERS = {
    "vision_msgs/msg/Detection2DArray": decode_detections,
    "vision_msgs/msg/Classification": decode_classification,
}
"""How answers are decoded, those of installed components too; masks need the names of classes."""

_ROUNDING = 1e-6
"""Scores are float32, in which 0.9 is a little less."""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """An answer: when its image was taken and recorded, its message, and what is in it."""

    time: FrameTime
    message: Any
    found: LabelledBoxes


@dataclass(slots=True)
class _Sightings:
    """Frames of a window that were looked at, and those that show one label."""

    frames: int = 0
    seen: int = 0
    first_seen: _Frame | None = None
    first_unseen: _Frame | None = None

    def take(self, label: str, score: float, frame: _Frame) -> None:
        found = frame.found
        self.frames += 1
        if any(
            name == label and value >= score - _ROUNDING
            for name, value in zip(found.labels, found.scores.tolist(), strict=True)
        ):
            self.seen += 1
            self.first_seen = self.first_seen or frame
        else:
            self.first_unseen = self.first_unseen or frame


def check_labels(run: ReplayRun, terms: Sequence[LabelTerm]) -> Iterator[Check]:
    """Yield a check for each label of each term."""
    if not terms:
        return
    with BagReader(run.results) as results:
        classes = read_class_names(results)
        for index, term in enumerate(terms):
            topic = _topic(results, term.node)
            if topic is None:
                nodes = [node for node in run.summary["nodes"] if _topic(results, node)]
                for kind, label in _labels(term):
                    name = f"labels[{index}].{kind}.{label}"
                    yield missing_node(name, term.node, nodes)
                continue
            names = names_of(classes, term.node)
            sightings = _look(run, results, topic, term, names)
            for kind, label in _labels(term):
                name = f"labels[{index}].{kind}.{label}"
                yield _unknown(name, label, names) or _judge(
                    run, name, term, (kind == "must", label), sightings[label], names
                )


def _labels(term: LabelTerm) -> list[tuple[str, str]]:
    return [*(("must", x) for x in term.must), *(("must_not", x) for x in term.must_not)]


def _topic(results: BagReader, node: str) -> BagTopic | None:
    own = f"/{node.strip('/')}/"
    there = {topic.name.removeprefix(own): topic for topic in results.topics}
    known = (there[name] for name in _OUTPUTS if name in there)
    others = (each for each in there.values() if each.name.startswith(own))
    return next(known, next((each for each in others if each.msgtype in _DECODERS), None))


def _look(
    run: ReplayRun, results: BagReader, topic: BagTopic, term: LabelTerm, names: ClassNames | None
) -> dict[str, _Sightings]:
    decode = _DECODERS.get(topic.msgtype) or _mask_decoder(names)
    start, stop = term.window_s
    stop = math.inf if stop is None else stop
    found = {label: _Sightings() for _, label in _labels(term)}
    for item in results.messages([topic.name]):
        if start <= seconds(run, item.stamp_ns) <= stop:
            time = FrameTime(item.stamp_ns, decode_header(item.message.header).stamp_ns)
            frame = _Frame(time, item.message, decode(item.message))
            for label, sightings in found.items():
                sightings.take(label, term.min_score, frame)
    return found


def _mask_decoder(names: ClassNames | None) -> Callable[[Any], LabelledBoxes]:
    known = {} if names is None else names.names

    def mask_labels(message: Any) -> LabelledBoxes:
        # The score of a class in a mask is its share of the pixels, as for the explainer.
        mask = decode_mask(message)
        ids, counts = np.unique(mask, return_counts=True)
        labels = tuple(known.get(k, f"class {k}") for k in ids.tolist())
        shares = (counts / mask.size).astype(np.float32)
        return LabelledBoxes(labels, shares, np.full((len(ids), 4), np.nan, np.float32))

    return mask_labels


def _unknown(name: str, label: str, names: ClassNames | None) -> Check | None:
    """Return a failed check for a label that the node cannot answer: it would wait for ever."""
    known = [] if names is None else list(names.names.values())
    if label in known or not known:
        return None
    hint = nearest(label, known, "it knows")
    return Check(name, False, f"the model has no label {label}: {hint}")


def _judge(
    run: ReplayRun,
    name: str,
    term: LabelTerm,
    what: tuple[bool, str],
    found: _Sightings,
    names: ClassNames | None,
) -> Check:
    must, label = what
    start, stop = term.window_s
    window = f"{start:g} s to {'the end' if stop is None else f'{stop:g} s'}"
    if found.frames == 0:
        return Check(name, False, f"there is no frame from {window}: correct the window")
    least = f" with score {term.min_score:g} or more" if term.min_score else ""
    text = f"{label}{least} is in {found.seen} of {found.frames} frames from {window}"
    wrong = found.first_unseen if must else found.first_seen
    if wrong is None or (must and found.seen >= term.min_frames):
        return Check(name, True, text)
    text += f", expected in {f'{term.min_frames} or more' if must else 'none'}"
    text += f"; {'not seen' if must else 'seen'} first at {at(run, wrong.time)}"
    title = f"answer; {label} was {'' if must else 'not '}expected"
    page = _page(wrong, title, "" if must else label, names)
    picture = write_picture(run, name, term.node, wrong.time.recorded_ns, page)
    return Check(name, False, text, wrong.time.stamp_ns, picture)


def _page(frame: _Frame, title: str, wrong: str, names: ClassNames | None) -> Page:
    if hasattr(frame.message, "encoding"):  # an image: a mask
        mask = decode_mask(frame.message)
        return mask_page([(title, mask)], () if names is None else names.listed())
    return box_page(frame.found, np.array([x == wrong for x in frame.found.labels], bool), title)
