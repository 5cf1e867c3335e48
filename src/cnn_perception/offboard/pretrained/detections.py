"""What torchvision's detectors do after their networks, as one graph for images of one size.

torchvision's own code branches on values, which PyTorch's exporter refuses. Here the shapes alone
decide; the answers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms

__all__ = [
    "Detections",
    "anchors_of",
    "answer_of_torchvision",
    "best_of_each",
    "clipped",
    "detections_apart",
    "has_sides",
]

Detections = tuple[Tensor, Tensor, Tensor]
"""Boxes float32 (N, 4), corners in pixels of the input; labels int64 (N,); scores float32 (N,)."""

_PIXEL = 0.01
"""How much a pixel counts in the difference of two detections, whose scores are 0 to 1."""

_TIES = 50
"""One detection of that many may win or lose a tie: a rounding error decides what suppresses it."""


def anchors_of(
    backbone: nn.Module, generator: nn.Module, height: int, width: int
) -> tuple[Tensor, list[int], dict[str, Tensor]]:
    """Return an image's anchors (A, 4), how many each level has, and a backbone's maps of zeros."""
    images = torch.zeros(1, 3, height, width)
    with torch.no_grad():
        maps = backbone(images)
        anchors = generator(ImageList(images, [(height, width)]), list(maps.values()))[0]
    cells = (int(x.shape[2] * x.shape[3]) for x in maps.values())
    counts = [n * k for n, k in zip(cells, generator.num_anchors_per_location(), strict=True)]
    return anchors, counts, maps


def best_of_each(
    boxes: Tensor, scores: Tensor, groups: Tensor, overlap: float, extent: int, count: int
) -> Tensor:
    """Return indices of what non-maximum suppression within each group keeps, best first.

    groups: int64 (N,). extent: no box reaches beyond it, so that groups moved apart by it never
    overlap. count: the most that is returned.
    """
    apart = boxes + (groups.to(boxes.dtype) * (extent + 1.0))[:, None]
    return nms(apart, scores, overlap)[:count]


def clipped(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Return boxes (N, 4) limited to an image of (height, width)."""
    # float(): the exporter takes no limits of another type than the tensor's.
    x = boxes[:, 0::2].clamp(0.0, float(size[1]))
    y = boxes[:, 1::2].clamp(0.0, float(size[0]))
    return torch.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), 1)


def has_sides(boxes: Tensor, least: float) -> Tensor:
    """Return bool (N,): whether both sides of a box have at least that length."""
    return (boxes[:, 2:] - boxes[:, :2] >= least).all(1)


class _AsItIs(nn.Module):
    """Stands for a detector's resizing and normalisation of images, and does nothing."""

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[ImageList, Any]:
        return ImageList(torch.stack(images), [tuple(x.shape[1:]) for x in images]), targets

    def postprocess(self, result: list[Any], sizes: Any, original: Any) -> list[Any]:
        return result


@torch.no_grad()
def answer_of_torchvision(model: nn.Module, image: Tensor) -> Detections:
    """Return what a detector of torchvision itself answers to a normalised image (1, 3, H, W)."""
    transform, model.transform = model.transform, _AsItIs()
    try:
        answer = model.eval()([image[0]])[0]
    finally:
        model.transform = transform
    return answer["boxes"], answer["labels"], answer["scores"]


def detections_apart(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> float:
    """Return how far two lists of boxes, labels and scores are apart, whatever their order.

    Each detection of one list is held against the nearest of its label in the other. The distance
    of two is that of their scores, or that of their corners in hundreds of pixels if it is larger.
    One in 50 of all is left out. Infinite when there is nothing to compare with.
    """
    (boxes, labels, scores), (true_boxes, true_labels, true_scores) = found, expected
    if not len(labels) and not len(true_labels):
        return 0.0
    if not len(labels) or not len(true_labels):
        return float("inf")
    apart = np.abs(scores[:, None] - true_scores)
    corners = np.abs(boxes[:, None].astype(np.float64) - true_boxes).max(axis=2) * _PIXEL
    apart = np.where(labels[:, None] == true_labels, np.maximum(apart, corners), np.inf)
    nearest = np.sort(np.concatenate([apart.min(axis=0), apart.min(axis=1)]))
    return float(nearest[-1 - len(nearest) // _TIES])
