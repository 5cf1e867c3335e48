"""RetinaNet as one graph (Lin et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNet

from cnn_perception.offboard.pretrained.detections import (
    Detections,
    anchors_of,
    best_of_each,
    clipped,
)

__all__ = ["RetinaNetDetector"]


class RetinaNetDetector(nn.Module):
    """A RetinaNet of torchvision for one normalised image (1, 3, height, width) -> `Detections`.

    The modules are shared with `model`, which is put into evaluation mode.
    """

    def __init__(self, model: RetinaNet, height: int, width: int) -> None:
        super().__init__()
        model.eval()
        self.backbone = model.backbone
        self.head = model.head
        self.coder = model.box_coder
        self.score_threshold = float(model.score_thresh)
        self.overlap = float(model.nms_thresh)
        self.candidates = int(model.topk_candidates)
        self.count = int(model.detections_per_img)
        self.size = (height, width)
        anchors, self.counts, _ = anchors_of(self.backbone, model.anchor_generator, height, width)
        self.register_buffer("anchors", anchors)

    def forward(self, images: Tensor) -> Detections:
        answers = self.head(list(self.backbone(images).values()))
        logits, deltas = answers["cls_logits"][0], answers["bbox_regression"][0]
        classes = logits.shape[1]
        best, first = [], 0
        for part in logits.split(self.counts):
            flat = part.reshape(-1)
            best.append(flat.topk(min(self.candidates, len(flat))).indices + first * classes)
            first += len(part)
        chosen = torch.cat(best)
        scores = logits.reshape(-1)[chosen].sigmoid()
        sure = torch.where(scores > self.score_threshold)[0]
        chosen, scores = chosen[sure], scores[sure]
        anchors, labels = chosen // classes, chosen % classes
        boxes = self.coder.decode_single(deltas[anchors], self.anchors[anchors])
        boxes = clipped(boxes, self.size)
        keep = best_of_each(boxes, scores, labels, self.overlap, max(self.size), self.count)
        return boxes[keep], labels[keep], scores[keep]
