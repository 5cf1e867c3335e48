"""Images brought to a network's input as a robot does it, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from cnn_perception.image.preprocess import InputSpec, Placement, Preprocessor
from cnn_perception.offboard.datasets.labelled import LabelledImage

__all__ = ["input_batches"]


def input_batches(
    images: Iterable[LabelledImage], spec: InputSpec, device: torch.device, size: int = 16
) -> Iterator[tuple[list[LabelledImage], list[Placement], Tensor]]:
    """Yield up to `size` images, where each lies in the input, and the input on a device.

    The input is normalised float32 (B, 3, height, width). Images may have any size.
    """
    preprocess = Preprocessor(spec)
    left = iter(images)
    while group := list(islice(left, size)):
        tensors, placements = [], []
        for image in group:
            tensor, placement = preprocess(image.color)
            tensors.append(torch.from_numpy(tensor.copy()))
            placements.append(placement)
        yield group, placements, torch.cat(tensors).to(device)
