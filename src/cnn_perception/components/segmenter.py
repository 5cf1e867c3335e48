"""The segmenter: images in; masks of class indices at input size out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

import cv2
import numpy as np

from cnn_perception.components.component import Done, Event, Frame, Output, Topic
from cnn_perception.components.model import LABEL_INFO, ModelComponent
from cnn_perception.config import SegmenterConfig, SessionConfig
from cnn_perception.image.draw import blend_mask, color_mask
from cnn_perception.parameters import SEGMENTER, NodeParameters
from cnn_perception.runtime.inference import Inference
from cnn_perception.segmentation.segmenter import Segmenter

__all__ = ["SegmenterComponent"]

_IMAGE = "sensor_msgs/msg/Image"


class SegmenterComponent(ModelComponent):
    """Publishes a mono8 (mono16 above 255 classes) mask for every image it processes."""

    kind: ClassVar[str] = "segmenter"
    parameters: ClassVar[NodeParameters] = SEGMENTER
    core: Segmenter

    def make_core(self, session: SessionConfig, inference: Inference) -> Segmenter:
        """Build the segmenter."""
        return Segmenter(self.bundle, self.config(SegmenterConfig), session, inference)

    def outputs(self) -> Sequence[Topic]:
        """See Component."""
        drawn = (Topic(name, _IMAGE, recorded=False) for name in ("~/color_mask", "~/overlay"))
        return (Topic("~/mask", _IMAGE), LABEL_INFO, *drawn)

    def announce(self) -> Iterator[Output]:
        """Name the classes."""
        yield self.labels(0.0)

    def take(self, frame: Frame) -> Iterator[Event]:
        """Segment one image."""
        image, header = frame.color(), frame.message.header
        start = time.perf_counter()
        mask = self.core.segment(image)
        compute_s = time.perf_counter() - start
        yield Output("~/mask", self.encode.image(header, mask))
        palette = self.core.palette
        if self.reads("~/color_mask"):
            yield Output("~/color_mask", self.encode.image(header, color_mask(mask, palette)))
        if self.reads("~/overlay"):
            overlay = blend_mask(image, mask, palette, self.core.config.overlay_alpha)
            yield Output("~/overlay", self.encode.image(header, overlay))
        levels = np.iinfo(mask.dtype).max + 1
        pixels = cv2.calcHist([mask], [0], None, [levels], [0, levels])
        yield Done(frame, int(np.count_nonzero(pixels)), compute_s)

    def reconfigure(self) -> None:
        """Take over the overlay's opacity."""
        self.core.config = self.config(SegmenterConfig)
