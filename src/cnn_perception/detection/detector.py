"""Objects in a picture, by a bundle's network."""

from __future__ import annotations

import numpy as np

from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.detection.candidates import decoder
from cnn_perception.detection.nms import prepare_nms
from cnn_perception.detection.selection import select
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference, RawAnswer
from cnn_perception.runtime.outputs import OUTPUT_FORMATS
from cnn_perception.types import Detections, UInt8Array

__all__ = ["Detector"]


class Detector:
    """Finds objects. The answer depends on the picture alone; equal scores keep a fixed order.

    inference: the bundle's network, where it is shared. Raises ModelError when the bundle is not
    for detection, or its network does not fit it. One thread at a time.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        config: DetectorConfig | None = None,
        session: SessionConfig | None = None,
        inference: Inference | None = None,
    ) -> None:
        self.bundle = bundle
        self.config = config or DetectorConfig()
        self._decode = decoder(bundle)
        self._batched = OUTPUT_FORMATS[bundle.output.format].batched
        self.infer = (inference or Inference(bundle, session)).join()
        prepare_nms()
        self._size = np.array((bundle.input.width, bundle.input.height) * 2, np.float32)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self.bundle.labels

    @property
    def provider(self) -> str:
        """The execution provider that really runs the network, by ONNX Runtime's name."""
        return self.infer.session.provider

    @property
    def score_threshold(self) -> float:
        """The lowest score in force: the configuration's, or else the model's own."""
        return self._limits[0]

    @property
    def config(self) -> DetectorConfig:
        """The thresholds; may be replaced at any time, and hold from the next picture on."""
        return self._config

    @config.setter
    def config(self, config: DetectorConfig) -> None:
        model = self.bundle.thresholds
        score, iou = config.score_threshold, config.iou_threshold
        self._config = config
        # One assignment: a picture on another thread sees the old thresholds or the new, no mix.
        self._limits: tuple[float, float, int] = (
            model.score if score < 0 else float(score),
            model.iou if iou < 0 else float(iou),
            config.max_detections,
        )

    def detect(self, rgb: UInt8Array) -> Detections:
        """Return the objects in an RGB uint8 (H, W, 3) picture, best first, boxes in its pixels."""
        return self.select(self.infer(rgb))

    def select(self, raw: RawAnswer) -> Detections:
        """Return what the thresholds leave of the network's answer."""
        tensors = self.bundle.output.tensors
        by_role = {role: raw.tensors[name] for role, name in tensors.items()}
        if self._batched:
            by_role = {role: tensor[0] for role, tensor in by_role.items()}
        score_threshold, iou_threshold, most = self._limits
        found = self._decode(by_role, score_threshold)
        boxes = raw.placement.boxes_to_source(found.boxes * self._size)
        return select(found, boxes, iou_threshold, most)
