"""The explainer: images in; Grad-CAM heat maps of what was found out."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from cnn_perception.components.component import Done, Event, Frame, Output, Service, Setup, Topic
from cnn_perception.components.model import ModelComponent
from cnn_perception.config import ExplainerConfig, SessionConfig
from cnn_perception.errors import MessageError
from cnn_perception.explain.explainer import Explainer
from cnn_perception.explain.rate_gate import RateGate
from cnn_perception.image.draw import blend_heatmap
from cnn_perception.parameters import EXPLAINER, NodeParameters, RateConfig, read
from cnn_perception.runtime.inference import Inference
from cnn_perception.types import ExplainedAnswer, Float32Array

__all__ = ["ExplainerComponent"]

_DETECTIONS = "vision_msgs/msg/Detection2DArray"


class ExplainerComponent(ModelComponent):
    """Publishes a 32FC1 heat map for every image it processes, and what it explains.

    An image whose explanation nobody reads is not explained. The service ~/explain answers about
    the newest image, read or not.
    """

    kind: ClassVar[str] = "explainer"
    parameters: ClassVar[NodeParameters] = EXPLAINER
    core: Explainer

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._left_out = 0
        self._rate = RateGate()
        self._newest: Frame | None = None
        is_classifier = self.bundle.task == "classification"
        self._explained = "~/classification" if is_classifier else "~/explained"
        self._ask()

    def make_core(self, session: SessionConfig, inference: Inference) -> Explainer:
        """Build the explainer."""
        return Explainer(self.bundle, self.config(ExplainerConfig), session, inference)

    def outputs(self) -> Sequence[Topic]:
        """See Component."""
        is_classifier = self._explained == "~/classification"
        explained = "vision_msgs/msg/Classification" if is_classifier else _DETECTIONS
        return (
            Topic("~/heatmap", "sensor_msgs/msg/Image"),
            Topic(self._explained, explained),
            Topic("~/evidence", _DETECTIONS),
            Topic("~/overlay", "sensor_msgs/msg/Image", recorded=False),
        )

    def services(self) -> Sequence[Service]:
        """See Component."""
        return (Service("~/explain", "cnn_perception_msgs/srv/Explain", self._answer, later=False),)

    def admit(self, frame: Frame) -> str:
        """Say why an image need not be explained: nobody reads, or the last one is too near."""
        self._newest = frame
        if not any(self.reads(topic.name) for topic in self.outputs()):
            return "unread"
        max_rate = self.config(RateConfig).max_rate
        return "" if self._rate.lets(frame.header.stamp_ns, max_rate) else "rate_limited"

    def take(self, frame: Frame) -> Iterator[Event]:
        """Explain one image."""
        image, header, labels = frame.color(), frame.message.header, self.core.labels
        start = time.perf_counter()
        explanation = self.core.explain(image, self._question)
        compute_s = time.perf_counter() - start
        answers = explanation.answers
        self._left_out += explanation.left_out
        encode = self.encode
        yield Output("~/heatmap", encode.image(header, explanation.heatmap))
        is_classifier = self._explained == "~/classification"
        explained = encode.classification if is_classifier else encode.explained
        yield Output(self._explained, explained(header, answers, labels))
        yield Output("~/evidence", encode.explained(header, answers, labels, evidence=True))
        if self.reads("~/overlay"):
            alpha, caption = self.core.config.overlay_alpha, self.core.caption(explanation)
            overlay = blend_heatmap(image, explanation.heatmap, alpha, caption)
            yield Output("~/overlay", encode.image(header, overlay))
        yield Done(frame, len(answers), compute_s)

    # --- settings and diagnostics

    def vet(self, values: Mapping[str, Any]) -> None:
        """Refuse what the network does not know, and regions that are none."""
        self.core.question(read(values, ExplainerConfig))

    def reconfigure(self) -> None:
        """Take over what is asked and how."""
        self.core.config = self.config(ExplainerConfig)
        self._ask()

    def describe(self) -> dict[str, Any]:
        """Add the answers for which the budget was too small."""
        return {**super().describe(), "left_out": self._left_out}

    def stop(self) -> Sequence[Frame]:
        """Forget the newest image; it was counted when it came."""
        self._newest = None
        return ()

    def _ask(self) -> None:
        question = self.core.question(self.core.config)
        if self._setup.timeless:
            question = dataclasses.replace(question, budget_ms=math.inf)
        self._question = question

    # --- the service

    def _answer(self, request: Any, response: Any) -> None:
        frame = self._newest
        if frame is None:
            raise MessageError("no_match", "no image came yet: publish one on the topic image")
        config = dataclasses.replace(
            self.core.config,
            target_class=request.class_id,
            region=tuple(request.region) or (-1.0,),
            max_answers=max(1, request.max_answers),
        )
        image = frame.color()
        explanation = self.core.explain(image, self.core.question(config))
        height, width = image.shape[:2]
        whole = np.array([0, 0, width, height], np.float32)
        response.header = frame.message.header
        response.heatmap = self.encode.image(frame.message.header, explanation.heatmap)
        for answer in explanation.answers:
            self._append(response, answer, whole)

    def _append(self, response: Any, answer: ExplainedAnswer, whole: Float32Array) -> None:
        evidence = np.zeros(4, np.float32) if answer.evidence is None else answer.evidence
        response.class_ids.append(self.core.labels[answer.class_id])
        response.scores.append(answer.score)
        response.boxes.append(self.encode.region(whole if answer.box is None else answer.box))
        response.evidence.append(self.encode.region(evidence))
