"""How good a network in training is, measured as its bundles would be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.nn import functional

from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.detection.candidates import softmax
from cnn_perception.detection.decode import decode_boxes
from cnn_perception.detection.nms import batched_nms
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.networks.rooms import RoomsNetwork
from cnn_perception.training.normalise import normalise
from cnn_perception.types import Detections, Float32Array

__all__ = ["Scores", "evaluate_network", "select_detections"]

_SCORE_THRESHOLD = 0.02
_IOU_THRESHOLD = 0.45


@dataclass(frozen=True, slots=True)
class Scores:
    """What was measured on how many images."""

    images: int
    map_50: float
    miou: float

    def __str__(self) -> str:
        return f"{self.images} images: mAP@0.5 {self.map_50:.3f}, mIoU {self.miou:.3f}"


def select_detections(
    logits: Float32Array,
    deltas: Float32Array,
    priors: Float32Array,
    size: tuple[int, int],
    score_threshold: float = _SCORE_THRESHOLD,
) -> Detections:
    """Return the detections that one image's raw answers mean.

    logits: float32 (A, C + 1); deltas: float32 (A, 4); priors: float32 (A, 4); size: width and
    height of the image, pixels.
    """
    scores = softmax(logits)[:, 1:]
    anchors, classes = np.nonzero(scores >= score_threshold)
    chosen = scores[anchors, classes]
    edge = np.array([*size, *size], np.float32)
    boxes = np.clip(decode_boxes(deltas[anchors], priors[anchors]) * edge, 0, edge)
    kept = batched_nms(boxes, chosen, classes, _IOU_THRESHOLD, 100)
    return Detections(
        boxes[kept], chosen[kept], classes[kept].astype(np.int32), anchors[kept].astype(np.int32)
    )


@torch.no_grad()
def evaluate_network(
    network: RoomsNetwork,
    priors: Float32Array,
    images: Iterable[LabelledImage],
    object_classes: int,
    mask_labels: int,
) -> Scores:
    """Return mAP and mIoU of a network in evaluation mode over images of its input size."""
    boxes = DetectionMetric(object_classes)
    masks = SegmentationMetric(mask_labels)
    count = 0
    for group in _groups(iter(images), 16):
        outputs = network(normalise(torch.from_numpy(np.stack([i.color for i in group]))))
        height, width = group[0].mask.shape
        full = functional.interpolate(
            outputs.mask_logits, size=(height, width), mode="bilinear", align_corners=False
        )
        found = full.argmax(1).numpy()
        for k, image in enumerate(group):
            detections = select_detections(
                outputs.boxes.class_logits[k].numpy(),
                outputs.boxes.box_deltas[k].numpy(),
                priors,
                (width, height),
            )
            boxes.update(detections, image.boxes, image.classes, image.difficult)
            masks.update(found[k], image.mask)
        count += len(group)
    return Scores(count, boxes.map_50(), masks.mean_iou())


def _groups(images: Iterator[LabelledImage], size: int) -> Iterator[list[LabelledImage]]:
    """Yield lists of up to `size` images."""
    while group := list(islice(images, size)):
        yield group
