"""The segmenter node: images in; masks of class indices at input size out."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from sensor_msgs.msg import Image

from cnn_perception.config import SegmenterConfig, SessionConfig
from cnn_perception.image.draw import blend_mask, color_mask
from cnn_perception.messages.decode import decode_color
from cnn_perception.parameters import SEGMENTER, NodeParameters
from cnn_perception.ros.encode import encode
from cnn_perception.ros.model_node import ModelNode
from cnn_perception.ros.run import run
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference
from cnn_perception.segmentation.segmenter import Segmenter

__all__ = ["SegmenterNode", "main"]


class SegmenterNode(ModelNode):
    """Publishes a mono8 (mono16 above 255 classes) mask for every image it processes."""

    parameters: ClassVar[NodeParameters] = SEGMENTER

    def make_core(
        self, bundle: ModelBundle, session: SessionConfig, inference: Inference
    ) -> Segmenter:
        """Build the segmenter."""
        return Segmenter(bundle, self.config(SegmenterConfig), session, inference)

    def load(self) -> None:
        """Load the model; create the publishers."""
        super().load()
        self._mask = self.advertise(Image, "~/mask")
        self._color_mask = self.advertise(Image, "~/color_mask")
        self._overlay = self.advertise(Image, "~/overlay")
        self.advertise_labels()

    def subscribe(self) -> None:
        """Announce the classes and listen to the images."""
        self.publish_labels(0.0)
        super().subscribe()

    def process(self, message: Any) -> float:
        """Segment one image."""
        image = decode_color(message)
        start = time.monotonic()
        mask = self.core.segment(image)
        compute_s = time.monotonic() - start
        self._mask.publish(encode.image(message.header, mask))
        if self._color_mask.get_subscription_count():
            colored = color_mask(mask, self.core.palette)
            self._color_mask.publish(encode.image(message.header, colored))
        if self._overlay.get_subscription_count():
            alpha = self.core.config.overlay_alpha
            overlay = blend_mask(image, mask, self.core.palette, alpha)
            self._overlay.publish(encode.image(message.header, overlay))
        return compute_s

    def reconfigure(self) -> None:
        """Take over the overlay's opacity."""
        self.core.config = self.config(SegmenterConfig)


def main() -> None:
    """Run the node."""
    run([lambda: SegmenterNode("segmenter")])


if __name__ == "__main__":
    main()
