"""Objects in a picture, by a bundle's network."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.formats.format import Candidates, DetectionFormat, rank
from cnn_perception.image.preprocess import Placement
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Graph, Inference, Predictor, RawAnswer
from cnn_perception.types import Detections, Float32Array, UInt8Array

__all__ = ["MEASURING_SCORE", "NMS_FILE", "Detector", "batched_nms", "select"]

NMS_FILE = Path(__file__).with_name("nms.onnx")
"""One operator, NonMaxSuppression: the network's runtime is here anyway, and its kernel needs a
tenth of the time that numpy does."""

MEASURING_SCORE = 0.01
"""Score from which detections are measured: average precision looks at the weak ones too, and a
higher threshold would cut its curve short."""

_ANY_SCORE = float(np.finfo(np.float32).min)


class Detector(Predictor):
    """Finds objects. The answer depends on the picture alone; equal scores keep a fixed order.

    inference: the bundle's network, where it is shared. Raises ModelError when the bundle is not
    for detection, or its network does not fit it.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        config: DetectorConfig | None = None,
        session: SessionConfig | None = None,
        inference: Inference | None = None,
    ) -> None:
        if not isinstance(bundle.output, DetectionFormat):
            raise ModelError(
                f"{bundle.file}: a bundle for {bundle.task} cannot detect: give one for detection"
            )
        super().__init__(bundle, (inference or Inference(bundle, session)).join())
        self.config = config or DetectorConfig()
        self._format = bundle.output
        _suppression()

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
        score_threshold, iou_threshold, most = self._limits
        tensors = self._format.by_role(raw.tensors)
        found = self._format.decode(tensors, score_threshold, self.bundle)
        return select(found, raw.placement, iou_threshold, most)


def select(
    found: Candidates, placement: Placement, iou_threshold: float, max_detections: int
) -> Detections:
    """Return what suppression leaves of candidates, best first, boxes in pixels of the image.

    placement: where the image lies in the network's input. Boxes are clipped to it; those without
    area are no detections.
    """
    size = np.array(placement.input * 2, np.float32)
    boxes = placement.boxes_to_source(found.boxes * size)
    # What lies in the bars around a letterboxed picture is nothing once clipped to it.
    inside = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    boxes, scores, class_ids = boxes[inside], found.scores[inside], found.class_ids[inside]
    if iou_threshold < 1:
        kept = batched_nms(boxes, scores, class_ids, iou_threshold, max_detections)
    else:  # no overlap is larger than 1
        kept = rank(scores, max_detections)
    return Detections(boxes[kept], scores[kept], class_ids[kept], found.anchors[inside][kept])


def batched_nms(
    boxes: Float32Array,
    scores: Float32Array,
    class_ids: NDArray[np.integer],
    iou_threshold: float,
    max_detections: int | None = None,
) -> NDArray[np.int64]:
    """Return the indices of the boxes to keep, highest score first, at most `max_detections`.

    A box is dropped when a better one of its class that is kept overlaps it by more than
    `iou_threshold` (IoU, strictly more; 0 to 1); of equal scores the earlier box is the better.
    This is torchvision's ``batched_nms``, bit for bit in float32. boxes: float32 (N, 4) corners in
    any unit, the lower ones first; scores: float32 (N,); class_ids: (N,), from 0.
    """
    count = len(scores)
    limit = count if max_detections is None else max_detections
    if count == 0 or limit <= 0:
        return np.zeros(0, np.int64)
    # A row of scores for each class that there is. np.unique would take longer than all the rest.
    row_of_class = np.cumsum(np.bincount(class_ids) > 0) - 1
    by_class = np.full((1, row_of_class[-1] + 1, count), -np.inf, np.float32)
    by_class[0, row_of_class[class_ids], np.arange(count)] = scores
    answer = _suppression().run(
        {
            "boxes": boxes[None],
            "scores": by_class,
            "most": np.array([limit], np.int64),
            "iou_threshold": np.array([_float32_below(iou_threshold)], np.float32),
            "score_threshold": np.array([_ANY_SCORE], np.float32),
        }
    )
    kept: NDArray[np.int64] = np.sort(answer["kept"][:, 2])
    return kept[rank(scores[kept], limit)]


@cache
def _suppression() -> Graph:
    """Load the operator, once, so that no picture has to wait for it."""
    return Graph(NMS_FILE, SessionConfig(provider="cpu", threads=1))


def _float32_below(value: float) -> float:
    """Return the largest float32 that is not above `value`.

    IoUs are float32 and are compared with a double; against this number the comparison has the
    same result and stays in float32.
    """
    rounded = np.float32(value)
    if float(rounded) > value:
        return float(np.nextafter(rounded, np.float32(-np.inf)))
    return float(rounded)
