"""Faster R-CNN and the boxes of Mask R-CNN as one graph (Ren et al. 2015, Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import roi_align

from cnn_perception.offboard.pretrained.detections import (
    Detections,
    anchors_of,
    best_of_each,
    clipped,
    has_sides,
)

__all__ = ["TwoStageDetector"]

_LEAST_SIDE = 1e-2
"""Pixels; torchvision drops answers that are narrower."""


class TwoStageDetector(nn.Module):
    """A Faster R-CNN of torchvision for one normalised image (1, 3, height, width) -> `Detections`.

    The modules are shared with `model`, which is put into evaluation mode and loses its mask head.
    Labels count torchvision's background, 0, which is never answered.
    """

    def __init__(self, model: FasterRCNN, height: int, width: int) -> None:
        super().__init__()
        model.eval()
        self.backbone = model.backbone
        self.rpn = model.rpn
        self.heads = model.roi_heads
        if self.heads.has_mask():
            self.heads.mask_roi_pool = self.heads.mask_head = self.heads.mask_predictor = None
        self.size = (height, width)
        anchors, self.counts, maps = anchors_of(
            self.backbone, model.rpn.anchor_generator, height, width
        )
        self.register_buffer("anchors", anchors)
        pool = self.heads.box_roi_pool
        # Its scales and the rule for levels are known once it has run.
        pool(maps, [anchors.new_tensor([[0.0, 0.0, 9.0, 9.0]])], [self.size])
        self.pooled_maps = [name for name in pool.featmap_names if name in maps]

    def forward(self, images: Tensor) -> Detections:
        maps = self.backbone(images)
        pooled, boxes = self._pool(maps, self._proposals(list(maps.values())))
        logits, deltas = self.heads.box_predictor(self.heads.box_head(pooled))
        return self._answer(logits, self.heads.box_coder.decode_single(deltas, boxes))

    def _proposals(self, maps: list[Tensor]) -> Tensor:
        """Return boxes (P, 4) that may hold an object: the best of each level, suppressed."""
        rpn = self.rpn
        logits, deltas = concat_box_prediction_layers(*rpn.head(maps))
        boxes = clipped(rpn.box_coder.decode_single(deltas, self.anchors), self.size)
        best, levels, first = [], [], 0
        for level, part in enumerate(logits.flatten().split(self.counts)):
            count = min(rpn.pre_nms_top_n(), self.counts[level])
            best.append(part.topk(count).indices + first)
            levels.append(torch.full((count,), level))
            first += self.counts[level]
        chosen, level_of = torch.cat(best), torch.cat(levels)
        boxes, scores = boxes[chosen], logits.flatten()[chosen].sigmoid()
        usable = torch.where(has_sides(boxes, rpn.min_size) & (scores >= rpn.score_thresh))[0]
        boxes, scores, level_of = boxes[usable], scores[usable], level_of[usable]
        count = rpn.post_nms_top_n()
        return boxes[best_of_each(boxes, scores, level_of, rpn.nms_thresh, max(self.size), count)]

    def _pool(self, maps: Mapping[str, Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (P, C, s, s), and the boxes in the same order: level by level."""
        pool = self.heads.box_roi_pool
        level_of = pool.map_levels([boxes])
        features, order = [], []
        for level, (name, scale) in enumerate(zip(self.pooled_maps, pool.scales, strict=True)):
            here = torch.where(level_of == level)[0]
            rois = torch.cat((torch.zeros_like(boxes[here, :1]), boxes[here]), 1)
            features.append(
                roi_align(maps[name], rois, pool.output_size, scale, pool.sampling_ratio)
            )
            order.append(here)
        return torch.cat(features), boxes[torch.cat(order)]

    def _answer(self, logits: Tensor, boxes: Tensor) -> Detections:
        """Return the detections; boxes (P, 4 classes), the background's four sides first."""
        classes = logits.shape[1]
        boxes = clipped(boxes[:, 4:].reshape(-1, 4), self.size)
        scores = logits.softmax(1)[:, 1:].reshape(-1)
        heads = self.heads
        chosen = torch.where((scores > heads.score_thresh) & has_sides(boxes, _LEAST_SIDE))[0]
        labels = chosen % (classes - 1) + 1
        boxes, scores = boxes[chosen], scores[chosen]
        keep = best_of_each(
            boxes, scores, labels, heads.nms_thresh, max(self.size), heads.detections_per_img
        )
        return boxes[keep], labels[keep], scores[keep]
