"""The default boxes (priors, anchors) of an SSD network, one source for training and robot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.types import Float32Array

if TYPE_CHECKING:
    from cnn_perception.runtime.section import Section

__all__ = ["DEFAULT_BOX_KEYS", "DefaultBoxSpec", "default_boxes", "linear_scales", "pyramid_boxes"]

DEFAULT_BOX_KEYS = ("feature_maps", "scales", "aspect_ratios", "steps", "image_size", "clip")
"""Of model.yaml's output.default_boxes."""
_LARGEST_SIDE = 8192


@dataclass(frozen=True, slots=True)
class DefaultBoxSpec:
    """Which default boxes a network predicts offsets from (Liu et al. 2016, section 2.2).

    The convention is torchvision's ``DefaultBoxGenerator``: sizes are fractions of the image's
    width and height; each cell has a box of scale s_k, one of scale sqrt(s_k s_k+1), and for every
    aspect ratio r one of r : 1 and one of 1 : r, in this order; cells go row by row, levels in
    order.

    feature_maps: (rows, columns) of each level. scales: one more than levels. aspect_ratios: one
    list per level, without 1. steps: pixels between the centres of two cells, per level, for
    networks whose maps do not divide the image evenly; they need image_size, the (height, width)
    of the network's input. clip: limit widths and heights to the image.

    Raises ConfigError for lengths that do not agree and for values that are not positive.
    """

    feature_maps: tuple[tuple[int, int], ...]
    scales: tuple[float, ...]
    aspect_ratios: tuple[tuple[float, ...], ...]
    steps: tuple[float, ...] | None = None
    image_size: tuple[int, int] | None = None
    clip: bool = True

    def __post_init__(self) -> None:
        levels, steps = len(self.feature_maps), self.steps
        expected = {"scales": levels + 1, "aspect_ratios": levels}
        expected |= {} if steps is None else {"steps": levels}
        for name, count in expected.items():
            if (actual := len(getattr(self, name))) != count:
                raise ConfigError(
                    f"default boxes have {actual} {name}: {levels} feature maps need {count}"
                )
        if levels == 0:
            raise ConfigError("default boxes have no feature maps: give (rows, columns)")
        numbers: dict[str, Iterable[float]] = {
            "feature_maps": chain.from_iterable(self.feature_maps),
            "scales": self.scales,
            "aspect_ratios": chain.from_iterable(self.aspect_ratios),
            "steps": steps or (),
            "image_size": self.image_size or (),
        }
        for name, values in numbers.items():
            for value in values:
                if not (math.isfinite(value) and value > 0):
                    raise ConfigError(f"default boxes have {name} with {value:g}: must be positive")
        if steps is not None and self.image_size is None:
            raise ConfigError("default boxes have steps but no image_size: give (height, width)")

    @classmethod
    def read(cls, section: Section) -> DefaultBoxSpec:
        """Return what model.yaml's default_boxes describe; raises ModelError."""
        maps = section.number_lists("feature_maps", 2)
        if any(not 1 <= side <= _LARGEST_SIDE or side % 1 for size in maps for side in size):
            section.fail("feature_maps", f"= {maps}: give [rows, columns] as whole numbers")
        image_size = None
        if "image_size" in section:
            rows, columns = section.numbers("image_size", 2, 1, _LARGEST_SIDE)
            image_size = (int(rows), int(columns))
        clip = section.value("clip") if "clip" in section else True
        if not isinstance(clip, bool):
            section.fail("clip", f"= {clip!r}: give true or false")
        try:
            return cls(
                feature_maps=tuple((int(rows), int(columns)) for rows, columns in maps),
                scales=section.numbers("scales"),
                aspect_ratios=section.number_lists("aspect_ratios"),
                steps=section.numbers("steps") if "steps" in section else None,
                image_size=image_size,
                clip=clip,
            )
        except ConfigError as error:
            raise ModelError(f"{section.file}: {section.path}: {error}") from error

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


def pyramid_boxes(section: Any, size: tuple[int, int]) -> DefaultBoxSpec:
    """Return the default boxes of a network whose levels have strides 8, 16, 32, 64 ...

    section: a mapping with ``scales``, fractions of the image, one more than levels, and
    ``aspect_ratios``, a list per level; size: (width, height) of the input, pixels, multiples of
    32. Raises ConfigError for anything else.
    """
    if not isinstance(section, Mapping) or set(section) != {"scales", "aspect_ratios"}:
        raise ConfigError(f"default_boxes = {section!r}: give scales and aspect_ratios")
    try:
        scales = tuple(float(scale) for scale in section["scales"])
        ratios = tuple(tuple(float(r) for r in level) for level in section["aspect_ratios"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"default_boxes are not lists of numbers: {error}") from error
    width, height = size
    if width % 32 or height % 32:
        raise ConfigError(f"image {width}x{height}: both must be multiples of 32")
    maps = [(height // 8, width // 8)]
    while len(maps) < len(ratios):
        rows, columns = maps[-1]
        maps.append(((rows + 1) // 2, (columns + 1) // 2))
    return DefaultBoxSpec(tuple(maps[: len(ratios)]), scales, ratios)


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
