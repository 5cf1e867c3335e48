"""What torchvision's networks take: sizes and normalisation as a bundle has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnn_perception.errors import ConfigError
from cnn_perception.image.preprocess import InputSpec

__all__ = ["SEGMENTER_SIZE", "Size", "checked_size", "detector_size", "input_spec"]

Size = tuple[int, int]
"""Width and height in pixels."""

SEGMENTER_SIZE = (696, 520)
"""Width and height of a 4:3 picture whose shorter side is as in training."""


def detector_size(transform: Any) -> Size:
    """Return what a 4:3 picture becomes in training, whole multiples of 32 as torchvision pads."""
    shorter = int(transform.min_size[0])
    longer = min(shorter * 4 / 3, float(transform.max_size))
    return -(-int(longer) // 32) * 32, -(-shorter // 32) * 32


def checked_size(size: Size, step: int) -> Size:
    """Return a size; raises ConfigError unless a network of that stride takes it."""
    if min(size) < 2 * step or size[0] % step or size[1] % step or max(size) > 4096:
        raise ConfigError(
            f"size {size[0]}x{size[1]}: give multiples of {step}, from {2 * step} to 4096"
        )
    return size


def input_spec(preset: Any, size: Size, resize: str, shorter: int | None = None) -> InputSpec:
    """Return the input of a network whose normalisation torchvision states on the scale 0 to 1."""
    mean = getattr(preset, "image_mean", None) or preset.mean
    std = getattr(preset, "image_std", None) or preset.std
    return InputSpec(
        "images",
        size[0],
        size[1],
        resize=resize,
        mean=_levels(mean),
        std=_levels(std),
        shorter_side=shorter,
    )


def _levels(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (round(255.0 * value, 4) for value in values)
    return red, green, blue
