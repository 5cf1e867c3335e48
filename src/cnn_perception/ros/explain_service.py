"""The service by which the explainer is asked about a class or a place (cnn_perception_msgs)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from cnn_perception.errors import MessageError
from cnn_perception.explain.explainer import Explainer
from cnn_perception.messages.decode import decode_color
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.encode import encode
from cnn_perception.ros.slow_services import fill, withdraw
from cnn_perception.types import ExplainedAnswer, Float32Array

try:
    from cnn_perception_msgs import srv
except ImportError:
    srv = None

__all__ = ["ExplainService", "serve_explanations"]


def serve_explanations(node: PerceptionNode, explainer: Explainer) -> ExplainService | None:
    """Offer ~/explain; say so and return None where its package is not installed."""
    if srv is None:
        node.get_logger().info(
            "no service ~/explain: the package cnn_perception_msgs is not installed, or older; "
            "docs/robot.md says how to build it"
        )
        return None
    return ExplainService(node, explainer)


class ExplainService:
    """Explains the newest image on request, on the node's worker thread, between two images.

    newest: the image message, set by the node.
    """

    def __init__(self, node: PerceptionNode, explainer: Explainer) -> None:
        self.newest: Any = None
        self._node = node
        self._explainer = explainer
        self._service = node.create_service(
            *(srv.Explain, "~/explain", self._answer),
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def close(self) -> None:
        """Withdraw the service."""
        withdraw(self._node, self._service)

    async def _answer(self, request: Any, response: Any) -> Any:
        done = self._node.worker.call(lambda: self._fill(request, response))
        cancelled = "the explainer was deactivated before it could answer"
        return await fill(self._node, response, done, cancelled)

    def _fill(self, request: Any, response: Any) -> None:
        message = self.newest
        if message is None:
            raise MessageError("no_match", "no image came yet: publish one on the topic image")
        config = dataclasses.replace(
            self._explainer.config,
            target_class=request.class_id,
            region=tuple(request.region) or (-1.0,),
            max_answers=max(1, request.max_answers),
        )
        image = decode_color(message)
        explanation = self._explainer.explain(image, self._explainer.question(config))
        height, width = image.shape[:2]
        whole = np.array([0, 0, width, height], np.float32)
        response.header = message.header
        response.heatmap = encode.image(message.header, explanation.heatmap)
        for answer in explanation.answers:
            self._append(response, answer, whole)

    def _append(self, response: Any, answer: ExplainedAnswer, whole: Float32Array) -> None:
        evidence = np.zeros(4, np.float32) if answer.evidence is None else answer.evidence
        response.class_ids.append(self._explainer.labels[answer.class_id])
        response.scores.append(answer.score)
        response.boxes.append(encode.region(whole if answer.box is None else answer.box))
        response.evidence.append(encode.region(evidence))
