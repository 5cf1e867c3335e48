"""What is explained: how much of one class a network finds in an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.networks.rooms import RoomsOutputs
from cnn_perception.offboard.networks.ssdlite import SsdOutputs

__all__ = ["BoxClasses", "Target", "best_class", "class_target"]

Target = Callable[[Any], Tensor]
"""Of a network's answer to B images, float32 (B,): what is explained of each."""


class BoxClasses(NamedTuple):
    """What a detector says of the classes of its boxes, without the background.

    values: float32 (B, A, C), what is explained of each; scores: their probabilities, alike.
    """

    values: Tensor
    scores: Tensor


def class_target(class_id: int, *, everywhere: bool = False) -> Target:
    """Return the target that stands for a class.

    Of class logits (B, C): its logit. Of a detector's answer: its logit, or what else stands for
    it, at the box that is surest of it. Of mask logits (B, C, h, w): the sum of its logits where it
    is the best class, or with `everywhere` of all, for images in which it is still to appear. The
    target raises ConfigError for an answer without such a class, or of another kind.
    """

    def target(answer: Any) -> Tensor:
        boxes = _boxes_of(answer)
        if boxes is not None:
            _check(class_id, boxes.values.shape[2])
            best = boxes.scores[:, :, class_id].detach().argmax(1)
            return boxes.values[:, :, class_id].gather(1, best[:, None])[:, 0]
        logits = _logits(answer)
        _check(class_id, logits.shape[1])
        if logits.dim() == 2:
            return logits[:, class_id]
        if everywhere:
            return logits[:, class_id].sum((1, 2))
        region = logits.detach().argmax(1) == class_id
        return (logits[:, class_id] * region).sum((1, 2))

    return target


@torch.no_grad()
def best_class(answer: Any, class_id: int | None = None) -> tuple[int, float]:
    """Return the class that a network finds in one image, and its probability.

    With `class_id` that class instead. For a detector it is that of the surest box; for
    masks the class with the most pixels, and their share of the image.
    """
    boxes = _boxes_of(answer)
    if boxes is not None:
        scores = boxes.scores[0].amax(0)
    else:
        logits = _logits(answer)
        if logits.dim() == 2:
            scores = logits[0].softmax(0)
        else:
            counts = torch.bincount(logits[0].argmax(0).flatten(), minlength=logits.shape[1])
            scores = counts / counts.sum()
    if class_id is None:
        class_id = int(scores.argmax())
    _check(class_id, len(scores))
    return class_id, float(scores[class_id])


def _boxes_of(answer: Any) -> BoxClasses | None:
    """Return what a detector answers of classes, None for what is no detector's answer."""
    if isinstance(answer, RoomsOutputs):
        answer = answer.boxes
    if isinstance(answer, SsdOutputs):
        logits = answer.class_logits
        return BoxClasses(logits[:, :, 1:], logits.softmax(2)[:, :, 1:])  # the background is 0
    return answer if isinstance(answer, BoxClasses) else None


def _logits(answer: Any) -> Tensor:
    if isinstance(answer, Tensor) and answer.dim() in (2, 4):
        return answer
    kind = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    raise ConfigError(
        f"the network answers with {kind}: explained are class logits (B, C), mask logits "
        "(B, C, h, w) and detectors of this package"
    )


def _check(class_id: int, classes: int) -> None:
    if not 0 <= class_id < classes:
        raise ConfigError(f"target = {class_id} is no class: give one of 0 to {classes - 1}")
