"""A tiny network of rooms, and pictures to prove its export on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnn_perception.image.preprocess import InputSpec
from cnn_perception.types import UInt8Array

if TYPE_CHECKING:
    from cnn_perception.formats.default_boxes import DefaultBoxSpec
    from cnn_perception.offboard.networks.rooms import RoomsNetwork

OBJECTS = 5
MASK_LABELS = 7


@pytest.fixture(scope="session")
def spec() -> InputSpec:
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    return InputSpec("images", 64, 64, mean=mean, std=std)


@pytest.fixture(scope="session")
def boxes() -> DefaultBoxSpec:
    from cnn_perception.formats.default_boxes import DefaultBoxSpec

    return DefaultBoxSpec(
        ((8, 8), (4, 4), (2, 2)), (0.1, 0.3, 0.6, 0.9), ((2.0,), (2.0, 3.0), (2.0,))
    )


@pytest.fixture(scope="session")
def network(boxes: DefaultBoxSpec) -> RoomsNetwork:
    """Untrained, but with the statistics of data, and every class is somewhere the best."""
    import torch

    from cnn_perception.offboard.networks.rooms import RoomsNetwork

    torch.manual_seed(1)
    result = RoomsNetwork(boxes, OBJECTS, MASK_LABELS, width=0.25, box_width=16, mask_width=16)
    result.train()
    with torch.no_grad():
        for _ in range(4):
            result(torch.randn(4, 3, 64, 64))
        for head in result.boxes.heads:
            torch.nn.init.normal_(head.classes.weight, std=0.3)
        result.eval()
        torch.nn.init.normal_(result.masks.score.weight)
        result.masks.score.bias -= result(torch.randn(4, 3, 64, 64)).mask_logits.mean((0, 2, 3))
    return result


@pytest.fixture(scope="session")
def pictures() -> Sequence[UInt8Array]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(2)]
