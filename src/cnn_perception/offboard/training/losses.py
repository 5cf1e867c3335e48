"""The losses of boxes and masks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cnn_perception.offboard.datasets.dataset import UNLABELLED
from cnn_perception.offboard.training.matching import BACKGROUND

__all__ = ["UNLABELLED", "dice_loss", "mask_entropy", "multibox_loss"]


def multibox_loss(
    logits: Tensor,
    deltas: Tensor,
    classes: Tensor,
    offsets: Tensor,
    negatives: float = 3.0,
    beta: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the class and the offset loss of SSD (Liu et al. 2016, section 2.2).

    logits: (B, A, C + 1); deltas, offsets: (B, A, 4); classes: int64 (B, A) with `BACKGROUND` and
    `IGNORED`. Cross entropy over the positives and, per image, the `negatives` times as many
    background boxes with the largest loss (hard negative mining; at least 10), and smooth L1 with
    `beta` over the positives; both sums are divided by the number of positives.
    """
    positive = classes > BACKGROUND
    batch = classes.shape[0]
    entropy = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        classes.clamp(min=0).reshape(-1),
        reduction="none",
    ).view(batch, -1)
    total = positive.sum().clamp(min=1)
    with torch.no_grad():
        hardness = entropy.masked_fill(classes != BACKGROUND, -1.0)
        wanted = (positive.sum(1, keepdim=True) * negatives).clamp(min=10)
        most = min(int(wanted.max()), hardness.shape[1])
        top, index = hardness.topk(most, dim=1)
        rank = torch.arange(most, device=logits.device)[None]
        mined = torch.zeros_like(positive).scatter_(1, index, (rank < wanted) & (top >= 0))
    class_loss = entropy[positive | mined].sum() / total
    box_loss = functional.smooth_l1_loss(
        deltas[positive], offsets[positive], reduction="sum", beta=beta
    )
    return class_loss, box_loss / total


def mask_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross entropy of the labelled pixels; zero where there is none.

    logits: (B, L, h, w), at the resolution of masks: int64 (B, H, W), or a lower one and then
    enlarged bilinearly. `UNLABELLED` pixels do not count.
    """
    total = functional.cross_entropy(
        _enlarged(logits, masks), masks, ignore_index=UNLABELLED, reduction="sum"
    )
    return total / (masks != UNLABELLED).sum().clamp(min=1)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return one minus the mean soft Dice of the labels present (Milletari et al. 2016).

    It makes a small object count as much as a wall. logits and masks as for `mask_entropy`.
    """
    valid = masks != UNLABELLED
    labels = logits.shape[1]
    truth = functional.one_hot(masks.clamp(max=labels - 1) * valid, labels).movedim(-1, 1)
    truth = truth * valid[:, None]
    shares = _enlarged(logits, masks).softmax(1) * valid[:, None]
    axes = (0, 2, 3)
    inner = (shares * truth).sum(axes)
    sizes = shares.sum(axes) + truth.sum(axes)
    present = truth.sum(axes) > 0
    dice = (2 * inner + 1) / (sizes + 1)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def _enlarged(logits: Tensor, masks: Tensor) -> Tensor:
    if logits.shape[-2:] == masks.shape[-2:]:
        return logits
    return functional.interpolate(
        logits, size=masks.shape[-2:], mode="bilinear", align_corners=False
    )
