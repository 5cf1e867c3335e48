"""Truth and answers of a replay, brought together frame by frame and measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_perception.errors import BagError
from cnn_perception.messages.decode import (
    LabelledBoxes,
    decode_detections,
    decode_header,
    decode_mask,
)
from cnn_perception.messages.sync import ApproximateTimeSynchronizer
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.moments import window_ns
from cnn_perception.replay.run import ReplayRun
from cnn_perception.replay.side_by_side import lockstep
from cnn_perception.types import Detections, IntArray

__all__ = ["FrameCounts", "boxes_measured", "masks_measured"]

_WAITING = 100
"""Frames that may wait for their partner: truth may be recorded this much later."""

_NOT_LABELLED = 255
"""Stands in masks for pixels that nobody labelled, as in PASCAL VOC."""

_Bags = tuple[BagReader, BagReader]
"""The recording, which has the truth, and the results."""


@dataclass(slots=True)
class FrameCounts:
    """Frames with truth and answer, with truth alone and with an answer alone."""

    matched: int = 0
    truth_alone: int = 0
    answer_alone: int = 0


def boxes_measured(
    run: ReplayRun, bags: _Bags, topic: str, labels: Sequence[str], unknown: Counter[str]
) -> tuple[DetectionMetric, FrameCounts]:
    """Measure all detections. True objects of other classes are counted in `unknown`."""
    metric, counts = DetectionMetric(len(labels)), FrameCounts()
    for truth, answer in _pairs(run, bags, topic, "detector/detections", counts):
        true, _ = _known(decode_detections(truth), labels, unknown)
        found, strange = _known(decode_detections(answer), labels, Counter())
        if strange:
            raise BagError(
                f"{bags[1].path} has detections of {strange}, which its label_info does not have: "
                "replay the bag again"
            )
        difficult = np.zeros(len(true), bool)
        metric.update(found, true.boxes, true.class_ids, difficult)
    return metric, counts


def masks_measured(
    run: ReplayRun, bags: _Bags, topic: str, labels: Sequence[str], unknown: Counter[str]
) -> tuple[SegmentationMetric, FrameCounts]:
    """Measure all masks; true ids without a label are unlabelled.

    They are counted in `unknown`, unless they are 255, which says just that.
    """
    unlabelled = len(labels)
    metric, counts = SegmentationMetric(len(labels), unlabelled), FrameCounts()
    for truth, answer in _pairs(run, bags, topic, "segmenter/mask", counts):
        true, found = decode_mask(truth), decode_mask(answer)
        if true.shape != found.shape:
            raise BagError(
                f"a true mask on {topic} has shape {true.shape}, the answer {found.shape}: record "
                "truth in the size of the images"
            )
        ids: IntArray = true.astype(np.int64)
        strange = ids[(ids >= len(labels)) & (ids != _NOT_LABELLED)]
        values, pixels = np.unique(strange, return_counts=True)
        for k, number in zip(values.tolist(), pixels.tolist(), strict=True):
            unknown[f"mask id {k}"] += number
        metric.update(found, np.where(ids < len(labels), ids, unlabelled))
    return metric, counts


def _known(
    found: LabelledBoxes, labels: Sequence[str], unknown: Counter[str]
) -> tuple[Detections, str]:
    """Return detections by class id, and the last label that is none of the model's."""
    ids = np.array([_index(labels, label) for label in found.labels], np.int32)
    strange = [label or "(no class)" for label, k in zip(found.labels, ids, strict=True) if k < 0]
    unknown.update(strange)
    kept = ids >= 0
    known = Detections(found.boxes[kept], found.scores[kept], ids[kept])
    return known, strange[-1] if strange else ""


def _index(labels: Sequence[str], label: str) -> int:
    return labels.index(label) if label in labels else -1


def _pairs(
    run: ReplayRun, bags: _Bags, topic: str, output: str, counts: FrameCounts
) -> Iterator[tuple[Any, Any]]:
    """Yield truth and answer of the same stamp and frame; what stays alone is counted."""
    outputs = {name.name for name in bags[1].topics if name.name.endswith(f"/{output}")}
    waiting: dict[str, ApproximateTimeSynchronizer] = {}
    for moment in lockstep(bags[0], [topic], bags[1], sorted(outputs), window_ns(run)):
        arrived = [("truth", bags[0], raw) for raws in moment.first.values() for raw in raws]
        arrived += [("answer", bags[1], raw) for raws in moment.second.values() for raw in raws]
        for side, bag, raw in arrived:
            message = bag.deserialize(raw)
            header = decode_header(message.header)
            frames = waiting.setdefault(
                header.frame_id,
                ApproximateTimeSynchronizer(("truth", "answer"), queue_size=_WAITING),
            )
            pair = frames.add(side, header.stamp_ns, message)
            if pair is not None:
                counts.matched += 1
                yield pair[0], pair[1]
    for frames in waiting.values():
        counts.truth_alone += _alone(frames, "truth")
        counts.answer_alone += _alone(frames, "answer")


def _alone(frames: ApproximateTimeSynchronizer, side: str) -> int:
    return frames.pending(side) + sum(frames.dropped(side).values())
