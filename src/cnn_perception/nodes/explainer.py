"""The explainer node: images in; Grad-CAM heat maps of what was found out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, Detection2DArray

from cnn_perception.config import Config, ExplainerConfig, SessionConfig
from cnn_perception.explain.explainer import Explainer
from cnn_perception.image.draw import blend_heatmap
from cnn_perception.messages.decode import decode_color
from cnn_perception.ros import encode
from cnn_perception.ros.model_node import ModelNode
from cnn_perception.ros.run import run
from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["ExplainerNode", "main"]


class ExplainerNode(ModelNode):
    """Publishes a 32FC1 heat map for every image it processes, and what it explains."""

    configs: ClassVar[tuple[type[Config], ...]] = (*ModelNode.configs, ExplainerConfig)
    defaults: ClassVar[Mapping[str, Any]] = {"model": "rooms_ssdlite"}

    def make_core(self, bundle: ModelBundle, session: SessionConfig) -> Explainer:
        """Build the explainer."""
        return Explainer(bundle, self.config(ExplainerConfig), session)

    def load(self) -> None:
        """Load the model; create the publishers."""
        super().load()
        self._heatmap = self.advertise(Image, "~/heatmap")
        self._overlay = self.advertise(Image, "~/overlay")
        if self.bundle.task == "classification":
            self._classification = self.advertise(Classification, "~/classification")
        else:
            self._explained = self.advertise(Detection2DArray, "~/explained")

    def process(self, message: Any) -> float:
        """Explain one image."""
        image = decode_color(message)
        start = time.monotonic()
        explanation = self.core.explain(image)
        compute_s = time.monotonic() - start
        labels = self.core.labels
        self._heatmap.publish(encode.image(message.header, explanation.heatmap))
        if self.bundle.task == "classification":
            self._classification.publish(encode.classification(message.header, explanation, labels))
        else:
            self._explained.publish(encode.explained(message.header, explanation, labels))
        if self._overlay.get_subscription_count():
            overlay = blend_heatmap(
                image,
                explanation.heatmap,
                self.core.config.overlay_alpha,
                self.core.caption(explanation),
            )
            self._overlay.publish(encode.image(message.header, overlay))
        return compute_s

    def reconfigure(self) -> None:
        """Take over the target class and the threshold."""
        self.core.config = self.config(ExplainerConfig)


def main() -> None:
    """Run the node."""
    run([lambda: ExplainerNode("explainer")])


if __name__ == "__main__":
    main()
