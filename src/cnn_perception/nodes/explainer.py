"""The explainer node: images in; Grad-CAM heat maps of what was found out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, Detection2DArray

from cnn_perception.config import ExplainerConfig, SessionConfig
from cnn_perception.explain.explainer import Explainer
from cnn_perception.explain.rate_gate import RateGate
from cnn_perception.image.draw import blend_heatmap
from cnn_perception.messages.decode import decode_color
from cnn_perception.parameters import EXPLAINER, NodeParameters, RateConfig, read
from cnn_perception.ros.encode import encode
from cnn_perception.ros.explain_service import ExplainService, serve_explanations
from cnn_perception.ros.model_node import ModelNode
from cnn_perception.ros.run import run
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference

__all__ = ["ExplainerNode", "main"]


class ExplainerNode(ModelNode):
    """Publishes a 32FC1 heat map for every image it processes, and what it explains.

    An image whose explanation nobody reads is not explained.
    """

    parameters: ClassVar[NodeParameters] = EXPLAINER
    _service: ExplainService | None = None

    def make_core(
        self, bundle: ModelBundle, session: SessionConfig, inference: Inference
    ) -> Explainer:
        """Build the explainer."""
        return Explainer(bundle, self.config(ExplainerConfig), session, inference)

    def load(self) -> None:
        """Load the model; create the publishers and the service."""
        super().load()
        self._left_out = 0
        self._rate = RateGate()
        self._heatmap = self.advertise(Image, "~/heatmap")
        self._overlay = self.advertise(Image, "~/overlay")
        self._evidence = self.advertise(Detection2DArray, "~/evidence")
        if self.bundle.task == "classification":
            self._answers: Any = self.advertise(Classification, "~/classification")
            self._encode: Any = encode.classification
        else:
            self._answers = self.advertise(Detection2DArray, "~/explained")
            self._encode = encode.explained
        self._service = serve_explanations(self, self.core)

    def unload(self) -> None:
        """Let go of the network and the service."""
        if self._service is not None:
            self._service.close()
        self._service = None
        super().unload()

    def offer(self, message: Any, key: str = "", item: Any = None) -> None:
        """Keep the newest image for the service, too."""
        if self._service is not None:
            self._service.newest = message
        super().offer(message, key, item)

    def skip(self, stamp_ns: int) -> str:
        """Say why an image need not be explained: nobody reads, or the last one is too near."""
        if not any(publisher.get_subscription_count() for publisher in self._outputs):
            return "unread"
        return "" if self._rate.lets(stamp_ns, self.config(RateConfig).max_rate) else "rate_limited"

    def process(self, message: Any) -> float:
        """Explain one image."""
        image = decode_color(message)
        start = time.monotonic()
        explanation = self.core.explain(image)
        compute_s = time.monotonic() - start
        self._left_out += explanation.left_out
        header, labels, answers = message.header, self.core.labels, explanation.answers
        self._heatmap.publish(encode.image(header, explanation.heatmap))
        self._answers.publish(self._encode(header, answers, labels))
        self._evidence.publish(encode.explained(header, answers, labels, evidence=True))
        if self._overlay.get_subscription_count():
            alpha, caption = self.core.config.overlay_alpha, self.core.caption(explanation)
            overlay = blend_heatmap(image, explanation.heatmap, alpha, caption)
            self._overlay.publish(encode.image(header, overlay))
        return compute_s

    def describe(self) -> Mapping[str, str]:
        """Add the answers for which the budget was too small."""
        return {**super().describe(), "left_out": str(self._left_out)}

    def vet(self, values: Mapping[str, Any]) -> None:
        """Refuse what the network does not know, and regions that are none."""
        if self.core is not None:
            self.core.question(read(values, ExplainerConfig))

    def reconfigure(self) -> None:
        """Take over what is asked and how."""
        self.core.config = self.config(ExplainerConfig)


def main() -> None:
    """Run the node."""
    run([lambda: ExplainerNode("explainer")])


if __name__ == "__main__":
    main()
