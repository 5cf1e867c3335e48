"""The default boxes (priors, anchors) of an SSD network, one source for training and robot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn_perception.errors import ConfigError
from cnn_perception.image.preprocess import LARGEST_SIDE
from cnn_perception.settings import REQUIRED, Config, SettingError, setting
from cnn_perception.types import Float32Array

__all__ = ["DefaultBoxSpec", "PyramidBoxes", "default_boxes", "linear_scales"]


@dataclass(frozen=True, slots=True)
class DefaultBoxSpec(Config):
    """Which default boxes a network predicts offsets from (Liu et al. 2016, section 2.2).

    The convention is torchvision's ``DefaultBoxGenerator``: sizes are fractions of the image's
    width and height; each cell has a box of scale s_k, one of scale sqrt(s_k s_k+1), and for every
    aspect ratio r one of r : 1 and one of 1 : r, in this order; cells go row by row, levels in
    order.

    Raises ConfigError for lengths that do not agree and for values that are not positive.
    """

    feature_maps: tuple[tuple[int, int], ...] = setting(
        REQUIRED, "[rows, columns] of each level", between=(1, LARGEST_SIDE)
    )
    scales: tuple[float, ...] = setting(
        REQUIRED,
        "Sizes of the boxes, fractions of the image: one more than levels",
        between=(1e-6, 1e6),
    )
    aspect_ratios: tuple[tuple[float, ...], ...] = setting(
        REQUIRED, "A list for each level, without 1", between=(1e-6, 1e6)
    )
    steps: tuple[float, ...] | None = setting(
        None,
        "Pixels between the centres of two cells, for each level, where the maps do not divide the "
        "image evenly; they need image_size",
        between=(1e-6, LARGEST_SIDE),
    )
    image_size: tuple[int, int] | None = setting(
        None, "[height, width] of the network's input, pixels", between=(1, LARGEST_SIDE)
    )
    clip: bool = setting(True, "Limit widths and heights to the image")

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        levels = len(self.feature_maps)
        if levels == 0:
            raise SettingError("feature_maps", "has no levels: give [rows, columns] of each")
        lengths = {"scales": levels + 1, "aspect_ratios": levels, "steps": levels}
        for name, expected in lengths.items():
            values = getattr(self, name)
            if values is not None and len(values) != expected:
                raise SettingError(
                    name, f"has length {len(values)}: {levels} feature maps need {expected}"
                )
        if self.steps is not None and self.image_size is None:
            raise SettingError("steps", "needs image_size: give [height, width]")

    @property
    def boxes_per_cell(self) -> tuple[int, ...]:
        """Number of default boxes of one cell, per level."""
        return tuple(2 + 2 * len(ratios) for ratios in self.aspect_ratios)

    @property
    def boxes_per_level(self) -> tuple[int, ...]:
        """Number of default boxes, per level."""
        return tuple(
            rows * columns * count
            for (rows, columns), count in zip(self.feature_maps, self.boxes_per_cell, strict=True)
        )

    @property
    def count(self) -> int:
        """Number of default boxes of all levels."""
        return sum(self.boxes_per_level)

    def locate(self, anchor: int) -> tuple[int, int]:
        """Return (level, index within the level) of a default box; IndexError outside."""
        index = anchor
        if index >= 0:
            for level, count in enumerate(self.boxes_per_level):
                if index < count:
                    return level, index
                index -= count
        raise IndexError(f"default box {anchor} of {self.count}")


def linear_scales(levels: int, smallest: float, largest: float) -> tuple[float, ...]:
    """Return `levels` scales evenly from smallest to largest, and the 1.0 that follows them.

    These are torchvision's scales for ``min_ratio`` and ``max_ratio``, in double precision.
    """
    if levels < 1:
        raise ConfigError(f"linear_scales for {levels} levels: give at least 1")
    if levels == 1:
        return (smallest, largest)
    span = largest - smallest
    return (*(smallest + span * k / (levels - 1.0) for k in range(levels)), 1.0)


@dataclass(frozen=True, slots=True)
class PyramidBoxes(Config):
    """Sizes and shapes of default boxes, wherever the levels of the network lie."""

    scales: tuple[float, ...] = setting(
        REQUIRED,
        "Sizes of the boxes, fractions of the image: one more than levels",
        between=(1e-6, 1e6),
    )
    aspect_ratios: tuple[tuple[float, ...], ...] = setting(
        REQUIRED, "A list for each level, without 1", between=(1e-6, 1e6)
    )

    def at(self, size: tuple[int, int]) -> DefaultBoxSpec:
        """Return the default boxes of a network whose levels have strides 8, 16, 32, 64 ...

        size: (width, height) of the input, pixels. Raises ConfigError unless both are multiples of
        32.
        """
        width, height = size
        if width % 32 or height % 32:
            raise ConfigError(f"image {width}x{height}: both must be multiples of 32")
        maps = [(height // 8, width // 8)]
        while len(maps) < len(self.aspect_ratios):
            rows, columns = maps[-1]
            maps.append(((rows + 1) // 2, (columns + 1) // 2))
        return DefaultBoxSpec(
            tuple(maps[: len(self.aspect_ratios)]), self.scales, self.aspect_ratios
        )


def default_boxes(spec: DefaultBoxSpec) -> Float32Array:
    """Return float32 (A, 4) centre x, centre y, width, height, as fractions of the image."""
    levels = []
    for level, (rows, columns) in enumerate(spec.feature_maps):
        across: float = columns
        down: float = rows
        if spec.steps is not None and spec.image_size is not None:
            across = spec.image_size[1] / spec.steps[level]
            down = spec.image_size[0] / spec.steps[level]
        center_x = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) / np.float32(across)
        center_y = (np.arange(rows, dtype=np.float32) + np.float32(0.5)) / np.float32(down)
        sizes = _cell_sizes(
            spec.scales[level], spec.scales[level + 1], spec.aspect_ratios[level], spec.clip
        )
        boxes = np.empty((rows, columns, len(sizes), 4), np.float32)
        boxes[..., 0] = center_x[None, :, None]
        boxes[..., 1] = center_y[:, None, None]
        boxes[..., 2:] = sizes
        levels.append(boxes.reshape(-1, 4))
    return np.concatenate(levels)


def _cell_sizes(
    scale: float, next_scale: float, ratios: Sequence[float], clip: bool
) -> Float32Array:
    """Return float32 (B, 2) width and height of the default boxes of one cell."""
    between = math.sqrt(scale * next_scale)
    sizes = [(scale, scale), (between, between)]
    for ratio in ratios:
        root = math.sqrt(ratio)
        sizes += [(scale * root, scale / root), (scale / root, scale * root)]
    array = np.array(sizes, np.float32)
    return np.clip(array, 0.0, 1.0) if clip else array
