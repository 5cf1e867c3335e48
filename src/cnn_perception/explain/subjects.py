"""What a network found in a picture, as answers that can be explained: one class per task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import DetectorConfig
from cnn_perception.detection.candidates import softmax
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.explain.question import Question
from cnn_perception.image.preprocess import Placement
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference, RawAnswer
from cnn_perception.segmentation.segmenter import classify_pixels
from cnn_perception.types import Detections, Float32Array, UInt8Array

__all__ = ["Explainable", "Subject", "subject_of"]

_MOST_DETECTIONS = 1000
"""How many are looked at: the best of the target class may be far behind the best of all."""


@dataclass(frozen=True, slots=True, eq=False)
class Explainable:
    """One answer to explain, and what its explain graph takes besides the network's tensors.

    level: which graph; box: float32 (4,) corners in pixels of the picture, or None.
    """

    class_id: int
    score: float
    box: Float32Array | None
    level: int
    asked: Mapping[str, NDArray[Any]]


class Subject(Protocol):
    """Finds answers, the best first."""

    def check(self, question: Question) -> None:
        """Raise ConfigError for a question that makes no sense for the task."""

    def answers(self, rgb: UInt8Array, question: Question) -> tuple[RawAnswer, list[Explainable]]:
        """Return the network's answer, and what of it is asked for, at most `question.most`."""


def subject_of(
    bundle: ModelBundle,
    inference: Inference,
    region_size: tuple[int, int] | None,
) -> Subject:
    """Return the subject for a bundle's task; region_size: (width, height) of a mask's graph."""
    if bundle.task == "classification":
        return _Classes(bundle, inference)
    if bundle.task == "detection":
        return _Detections(bundle, inference)
    if region_size is None or 0 in region_size:
        raise ModelError(
            f"{bundle.file}: the explain graph has no input region of a fixed size: run "
            f"'cnn-perception models explain {bundle.name}'"
        )
    return _Regions(bundle, inference, region_size)


class _Detections:
    """Detections, each by the class logit of its own box."""

    def __init__(self, bundle: ModelBundle, inference: Inference) -> None:
        self._detector = Detector(bundle, _looking_from(0.0), inference=inference)
        self._levels = sorted(bundle.explain, key=lambda graph: graph.level)
        self._background = 0 if bundle.output.default_boxes else bundle.output.background

    def check(self, question: Question) -> None:
        pass

    def answers(self, rgb: UInt8Array, question: Question) -> tuple[RawAnswer, list[Explainable]]:
        if question.threshold != self._detector.config.score_threshold:
            self._detector.config = _looking_from(question.threshold)
        raw = self._detector.infer(rgb)
        found = self._detector.select(raw)
        wanted = question.holds(found.boxes)
        if question.class_id is not None:
            wanted &= found.class_ids == question.class_id
        return raw, [
            self._answer(found, index) for index in np.flatnonzero(wanted)[: question.most].tolist()
        ]

    def _answer(self, found: Detections, index: int) -> Explainable:
        assert found.anchors is not None
        anchor, class_id = int(found.anchors[index]), int(found.class_ids[index])
        graph = next((x for x in self._levels if anchor < x.first + x.count), None)
        if graph is None or anchor < graph.first:
            raise ModelError(
                f"{self._detector.bundle.file}: no explain graph's anchors hold box {anchor}: run "
                f"'cnn-perception models explain {self._detector.bundle.name}'"
            )
        # Scores may have a column for the background.
        column = class_id + (self._background is not None and class_id >= self._background)
        asked = {
            "anchor": np.array([anchor - graph.first], np.int64),
            "class_index": np.array([column], np.int64),
        }
        return Explainable(
            class_id, float(found.scores[index]), found.boxes[index], graph.level, asked
        )


class _Classes:
    """Classes of the whole picture."""

    def __init__(self, bundle: ModelBundle, inference: Inference) -> None:
        self._infer = inference.join()
        self._logits = bundle.output.tensors["class_logits"]
        self._name = bundle.name

    def check(self, question: Question) -> None:
        if question.region is not None:
            raise ConfigError(
                f"region = {question.region.tolist()}: {self._name} tells what the whole image "
                "shows: give [-1.0]"
            )

    def answers(self, rgb: UInt8Array, question: Question) -> tuple[RawAnswer, list[Explainable]]:
        raw = self._infer(rgb)
        scores = softmax(raw.tensors[self._logits][0])
        if question.class_id is None:
            wanted = np.argsort(-scores, kind="stable")[: question.most].tolist()
        else:
            wanted = [question.class_id]
        return raw, [
            Explainable(
                class_id,
                float(scores[class_id]),
                None,
                0,
                {"class_index": np.array([class_id], np.int64)},
            )
            for class_id in wanted
            if scores[class_id] >= question.threshold
        ]


class _Regions:
    """The classes of a mask, each by its logits where it is the best one."""

    def __init__(
        self, bundle: ModelBundle, inference: Inference, region_size: tuple[int, int]
    ) -> None:
        self._infer = inference.join()
        self._output = bundle.output
        self._size = region_size
        self._background = (
            bundle.labels.index("background") if "background" in bundle.labels else -1
        )

    def check(self, question: Question) -> None:
        pass

    def answers(self, rgb: UInt8Array, question: Question) -> tuple[RawAnswer, list[Explainable]]:
        raw = self._infer(rgb)
        mask = self._mask(raw)
        rows, columns = _looked_at(mask.shape, raw.placement, question.region)
        seen = mask[rows, columns]
        if not seen.size:
            return raw, []
        counts = np.bincount(seen.ravel())
        shares = counts / seen.size
        if question.class_id is None:
            order = np.argsort(-counts, kind="stable").tolist()
            wanted = [index for index in order if index != self._background]
        else:
            wanted = [question.class_id]
        wanted = [
            index
            for index in wanted
            if index < len(counts) and counts[index] and shares[index] >= question.threshold
        ]
        return raw, [
            self._answer(mask == index, (rows, columns), index, float(shares[index]), raw.placement)
            for index in wanted[: question.most]
        ]

    def _mask(self, raw: RawAnswer) -> NDArray[Any]:
        """Return the best class of each pixel over the network's input."""
        (name,) = self._output.tensors.values()
        answer: NDArray[Any] = raw.tensors[name][0]
        if self._output.format == "mask_logits":
            return classify_pixels(answer, raw.placement.input)
        return answer

    def _answer(
        self,
        is_class: NDArray[np.bool_],
        looked_at: tuple[slice, slice],
        class_id: int,
        score: float,
        placement: Placement,
    ) -> Explainable:
        region = np.zeros(is_class.shape, np.float32)
        region[looked_at] = is_class[looked_at]
        across, down = (np.flatnonzero(region.any(axis)) for axis in (0, 1))
        scale = np.array(placement.input * 2) / np.array(is_class.shape[::-1] * 2)
        corners = np.array([across[0], down[0], across[-1] + 1, down[-1] + 1]) * scale
        weights = cv2.resize(region, self._size, interpolation=cv2.INTER_AREA)
        asked: dict[str, NDArray[Any]] = {
            "class_index": np.array([class_id], np.int64),
            "region": np.asarray(weights, np.float32)[None],
        }
        box = placement.boxes_to_source(np.asarray(corners, np.float32))[0]
        return Explainable(class_id, score, box, 0, asked)


def _looking_from(threshold: float) -> DetectorConfig:
    return DetectorConfig(score_threshold=threshold, max_detections=_MOST_DETECTIONS)


def _looked_at(
    shape: tuple[int, ...], placement: Placement, region: Float32Array | None
) -> tuple[slice, slice]:
    """Return the rows and columns of a map over the network's input that lie in a region.

    Without one, those that show the picture; a point is one cell.
    """
    scale = np.array(shape[::-1] * 2) / np.array(placement.input * 2)
    x, y = placement.offset
    width, height = placement.inner
    whole = np.array([x, y, x + width, y + height], np.float32) * scale
    if region is None:
        inside = whole
    else:
        asked = placement.boxes_to_input(region)[0] * scale
        inside = np.array([*np.maximum(asked[:2], whole[:2]), *np.minimum(asked[2:], whole[2:])])
        outside = (asked[2:] < whole[:2]) | (asked[:2] >= whole[2:])
        if outside.any():
            return slice(0, 0), slice(0, 0)
    first = np.floor(inside[:2]).astype(int)
    last = np.maximum(np.ceil(inside[2:]).astype(int), first + 1)
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))
