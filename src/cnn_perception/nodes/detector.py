"""The detector node: images in; 2D detections, and 3D ones where depth is given, out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.detection.boxes3d import boxes_from_depth
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import MessageError
from cnn_perception.image.draw import draw_detections, palette
from cnn_perception.messages.decode import decode_camera_info, decode_color, decode_depth
from cnn_perception.parameters import DETECTOR, DepthConfig, NodeParameters
from cnn_perception.ros.encode import encode
from cnn_perception.ros.model_node import ModelNode
from cnn_perception.ros.recent import Recent
from cnn_perception.ros.run import run
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference
from cnn_perception.types import Detections

__all__ = ["DetectorNode", "main"]


class DetectorNode(ModelNode):
    """Publishes Detection2DArray for every image it processes, also when nothing was found."""

    parameters: ClassVar[NodeParameters] = DETECTOR

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._depths: Recent[Any] = Recent()
        self._camera: Recent[CameraInfo] = Recent()

    def make_core(
        self, bundle: ModelBundle, session: SessionConfig, inference: Inference
    ) -> Detector:
        """Build the detector."""
        return Detector(bundle, self.config(DetectorConfig), session, inference)

    def load(self) -> None:
        """Load the model; create the publishers."""
        super().load()
        self._without_depth = 0
        shipped = self.bundle.palette
        self._colors = palette(len(self.core.labels)) if shipped is None else shipped
        self._detections = self.advertise(Detection2DArray, "~/detections")
        self._overlay = self.advertise(Image, "~/overlay")
        self.advertise_labels()
        if self.config(DepthConfig).use_depth:
            self._detections_3d = self.advertise(Detection3DArray, "~/detections_3d")
            self._markers = self.advertise(MarkerArray, "~/markers")

    def subscribe(self) -> None:
        """Listen to the images, and to depth if asked to."""
        self.publish_labels(self.core.score_threshold)
        if self.config(DepthConfig).use_depth:
            self._depths.reset()
            self._camera.reset()
            self.listen(CameraInfo, "depth/camera_info", self._camera.add)
            self.listen_images("depth/image", self._depths.add, "compressedDepth")
        super().subscribe()

    def process(self, message: Any) -> float:
        """Detect in one image."""
        image = decode_color(message)
        start = time.monotonic()
        detections = self.core.detect(image)
        compute_s = time.monotonic() - start
        labels = self.core.labels
        self._detections.publish(encode.detections_2d(message.header, detections, labels))
        if self._overlay.get_subscription_count():
            overlay = draw_detections(image, detections, labels, self._colors)
            self._overlay.publish(encode.image(message.header, overlay))
        if self.config(DepthConfig).use_depth:
            try:
                self._lift(message, detections)
            except MessageError as error:
                # The image itself was processed; only its 3D boxes are missing, and counted.
                self._without_depth += 1
                self.log_rarely("depth", f"no 3D boxes: {error}")
        return compute_s

    def _lift(self, message: Any, detections: Detections) -> None:
        """Publish 3D boxes from the depth of the same moment; raises MessageError without it."""
        settings = self.config(DepthConfig)
        depth = self._depths.near(message.header, settings.depth_timeout, settings.depth_slop)
        camera = self._camera.near(message.header, settings.depth_timeout)
        boxes = boxes_from_depth(decode_depth(depth), decode_camera_info(camera), detections)
        labels = self.core.labels
        self._detections_3d.publish(encode.detections_3d(message.header, detections, boxes, labels))
        if self._markers.get_subscription_count():
            self._markers.publish(
                encode.box_markers(message.header, detections, boxes, labels, self._colors)
            )

    def describe(self) -> Mapping[str, str]:
        """Add the images whose depth did not come."""
        if not self.config(DepthConfig).use_depth:
            return super().describe()
        return {**super().describe(), "without_depth": str(self._without_depth)}

    def reconfigure(self) -> None:
        """Take over the thresholds."""
        self.core.config = self.config(DetectorConfig)

    def rewind(self, stamp_ns: int) -> None:
        """Forget depth from the future."""
        self._depths.rewind(stamp_ns)

    def cancel(self) -> None:
        """Stop to wait for depth."""
        self._depths.cancel()
        self._camera.cancel()


def main() -> None:
    """Run the node."""
    run([lambda: DetectorNode("detector")])


if __name__ == "__main__":
    main()
