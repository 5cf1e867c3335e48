"""Detector, segmenter and explainer in a replay: every image of a topic through one network."""

from __future__ import annotations

import dataclasses
import math
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from cnn_perception.config import DetectorConfig, ExplainerConfig, SegmenterConfig, SessionConfig
from cnn_perception.detection.boxes3d import boxes_from_depth
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import MessageError
from cnn_perception.explain.explainer import Explainer
from cnn_perception.explain.rate_gate import RateGate
from cnn_perception.messages.decode import decode_camera_info, decode_depth
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.parameters import DepthConfig, ModelConfig, RateConfig, read
from cnn_perception.recording.bag import BagMessage
from cnn_perception.recording.compose import encode
from cnn_perception.replay.nodes.depth_pairs import DepthPairs
from cnn_perception.replay.nodes.node import Answer, Arrival, Output, ReplayNode
from cnn_perception.replay.plan import CameraTopics
from cnn_perception.runtime.bundle import ModelBundle, file_digest, load_bundle
from cnn_perception.runtime.inference import Inference, InferencePool
from cnn_perception.segmentation.segmenter import Segmenter
from cnn_perception.types import Detections, UInt8Array

__all__ = ["DetectorReplay", "ExplainerReplay", "NetworkReplay", "SegmenterReplay"]

_IMAGE = "sensor_msgs/msg/Image"
_DETECTIONS = "vision_msgs/msg/Detection2DArray"
_DETECTIONS_3D = "vision_msgs/msg/Detection3DArray"
_CLASSIFICATION = "vision_msgs/msg/Classification"
_LABELS = "vision_msgs/msg/LabelInfo"


class NetworkReplay(ReplayNode):
    """A node that answers every image of one topic.

    values: the node's parameters; camera: where its images come from. Raises ModelError for a
    bundle that cannot be used.
    """

    def __init__(
        self,
        name: str,
        values: Mapping[str, Any],
        camera: CameraTopics,
        networks: InferencePool,
        patience_ns: int,
    ) -> None:
        self.name = name
        self.main_topics = (camera.color or "",)
        self._camera, self._patience_ns = camera, patience_ns
        self.bundle: ModelBundle = load_bundle(read(values, ModelConfig).model)
        session = read(values, SessionConfig)
        self.core: Any = self._make(values, session, networks.get(self.bundle, session))

    @property
    def inputs(self) -> frozenset[str]:
        """See ReplayNode."""
        return frozenset(self.main_topics)

    @abstractmethod
    def _make(self, values: Mapping[str, Any], session: SessionConfig, inference: Inference) -> Any:
        """Build the core object, and whatever else the node works with."""

    def _admit(self, item: BagMessage) -> None:
        """Raise MessageError for an image that the live node drops before it looks at it."""

    @abstractmethod
    def _answer(self, item: BagMessage, rgb: UInt8Array) -> tuple[tuple[Output, ...], int]:
        """Return what is published for an image, and how much was found."""

    def take(self, arrival: Arrival) -> Iterator[Answer]:
        """Answer an image."""
        item, start = arrival.item, time.perf_counter()
        try:
            self._admit(item)
            outputs, found = self._answer(item, arrival.pixels())
        except Exception as error:  # as in a live node, one bad image does not end the others
            yield self._dropped(item, error)
            return
        seconds = arrival.seconds + time.perf_counter() - start
        yield Answer(item.stamp_ns, outputs, self._processed(item, seconds, found))

    def describe(self) -> dict[str, Any]:
        """Name the model and where it ran."""
        return {
            "model": self.bundle.name,
            "version": self.bundle.version,
            "sha256": file_digest(self.bundle.model),
            "provider": self.core.provider,
        }

    def _labels(self, threshold: float) -> Output:
        message = encode.label_info(self.core.labels, threshold)
        return self._output("label_info", _LABELS, message, latched=True)


class DetectorReplay(NetworkReplay):
    """The detector; with `use_depth` its boxes are lifted into space when their depth is there."""

    core: Detector

    def _make(
        self, values: Mapping[str, Any], session: SessionConfig, inference: Inference
    ) -> Detector:
        self._counts: Counter[int] = Counter()
        self._frames: Counter[int] = Counter()
        self._without_depth = 0
        self._pairs: DepthPairs | None = None
        if (settings := read(values, DepthConfig)).use_depth:
            depth, info = self._camera.depth or "", self._camera.camera_info or ""
            self._pairs = DepthPairs(depth, info, settings.depth_slop, self._patience_ns)
        return Detector(self.bundle, read(values, DetectorConfig), session, inference)

    @property
    def inputs(self) -> frozenset[str]:
        """See ReplayNode."""
        return super().inputs | (self._pairs.topics if self._pairs else frozenset())

    def announce(self) -> tuple[Output, ...]:
        """Name the classes."""
        return (self._labels(self.core.score_threshold),)

    def take(self, arrival: Arrival) -> Iterator[Answer]:
        """Answer an image, and lift those whose depth has come or has been waited for enough."""
        yield from self._lifted(arrival.item.stamp_ns)
        if arrival.item.topic in self.main_topics:
            yield from super().take(arrival)
        elif self._pairs is not None:
            self._pairs.add(arrival.item)
        yield from self._lifted(arrival.item.stamp_ns)

    def finish(self) -> Iterator[Answer]:
        """Lift what still waits for a better depth image."""
        yield from self._lifted(None)

    def rewind(self, stamp_ns: int) -> Iterator[Answer]:
        """Lift what waits, for its depth will not come any more; forget depth from the future."""
        yield from self._lifted(None)
        if self._pairs is not None:
            self._pairs.rewind(stamp_ns)

    def describe(self) -> dict[str, Any]:
        """Add what was found of each class."""
        labels = self.core.labels
        classes = {
            labels[k]: {"count": self._counts[k], "frames": self._frames[k]}
            for k in sorted(self._counts)
        }
        extra = {} if self._pairs is None else {"without_depth": self._without_depth}
        return {**super().describe(), "classes": classes, **extra}

    def _answer(self, item: BagMessage, rgb: UInt8Array) -> tuple[tuple[Output, ...], int]:
        found = self.core.detect(rgb)
        ids = found.class_ids.tolist()
        self._counts.update(ids)
        self._frames.update(set(ids))
        if self._pairs is not None:
            self._pairs.wait(item, found)
        message = encode.detections_2d(item.message.header, found, self.core.labels)
        return (self._output("detections", _DETECTIONS, message),), len(found)

    def _lifted(self, now_ns: int | None) -> Iterator[Answer]:
        if self._pairs is None:
            return
        for item, found, depth, camera in self._pairs.ready(now_ns):
            try:
                yield Answer(item.stamp_ns, (self._lift(item, found, depth, camera),))
            except MessageError:
                self._without_depth += 1

    def _lift(self, item: BagMessage, found: Detections, depth: Any, camera: Any) -> Output:
        if depth is None or camera is None:
            raise MessageError("no_match", "no depth or no camera_info near the image's stamp")
        boxes = boxes_from_depth(decode_depth(depth), decode_camera_info(camera), found)
        header, labels = item.message.header, self.core.labels
        message = encode.detections_3d(header, found, boxes, labels)
        return self._output("detections_3d", _DETECTIONS_3D, message)


class SegmenterReplay(NetworkReplay):
    """The segmenter."""

    core: Segmenter

    def _make(
        self, values: Mapping[str, Any], session: SessionConfig, inference: Inference
    ) -> Segmenter:
        return Segmenter(self.bundle, read(values, SegmenterConfig), session, inference)

    def announce(self) -> tuple[Output, ...]:
        """Name the classes."""
        return (self._labels(0.0),)

    def _answer(self, item: BagMessage, rgb: UInt8Array) -> tuple[tuple[Output, ...], int]:
        mask = self.core.segment(rgb)
        message = encode.image(item.message.header, mask)
        levels = np.iinfo(mask.dtype).max + 1
        pixels = cv2.calcHist([mask], [0], None, [levels], [0, levels])
        return (self._output("mask", _IMAGE, message),), int(np.count_nonzero(pixels))


class ExplainerReplay(NetworkReplay):
    """The explainer. It takes whatever time it needs: what it answers depends on no clock."""

    core: Explainer

    def _make(
        self, values: Mapping[str, Any], session: SessionConfig, inference: Inference
    ) -> Explainer:
        config = read(values, ExplainerConfig)
        explainer = Explainer(self.bundle, config, session, inference)
        self._question = dataclasses.replace(explainer.question(config), budget_ms=math.inf)
        self._gate, self._rate = RateGate(), read(values, RateConfig).max_rate
        self._is_classifier = self.bundle.task == "classification"
        return explainer

    def _admit(self, item: BagMessage) -> None:
        if not self._gate.lets(stamp_to_ns(item.message.header.stamp), self._rate):
            raise MessageError("rate_limited", f"{self._rate:g} images per second are explained")

    def _answer(self, item: BagMessage, rgb: UInt8Array) -> tuple[tuple[Output, ...], int]:
        header, labels = item.message.header, self.core.labels
        explanation = self.core.explain(rgb, self._question)
        answers = explanation.answers
        if self._is_classifier:
            message = encode.classification(header, answers, labels)
            what = self._output("classification", _CLASSIFICATION, message)
        else:
            message = encode.explained(header, answers, labels)
            what = self._output("explained", _DETECTIONS, message)
        evidence = encode.explained(header, answers, labels, evidence=True)
        outputs = (
            self._output("heatmap", _IMAGE, encode.image(header, explanation.heatmap)),
            what,
            self._output("evidence", _DETECTIONS, evidence),
        )
        return outputs, len(answers)
