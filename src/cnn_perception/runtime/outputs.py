"""What a network's output tensors mean: the output formats and the default boxes of SSD."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cnn_perception.errors import ConfigError

__all__ = ["OUTPUT_FORMATS", "DefaultBoxSpec", "OutputFormat", "OutputSpec"]


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """One way to encode answers: for which task, in which tensors, with which further keys.

    batched: the tensors have a batch axis of 1. final: a detector's answers name each object once,
    so that suppression is left out unless model.yaml or the configuration asks for it.
    """

    task: str
    roles: tuple[str, ...]
    keys: tuple[str, ...] = ()
    batched: bool = True
    final: bool = False


OUTPUT_FORMATS: Mapping[str, OutputFormat] = {
    "ssd_raw": OutputFormat(
        "detection", ("class_logits", "box_deltas"), ("default_boxes", "variances")
    ),
    "boxes_scores": OutputFormat("detection", ("scores", "boxes"), ("background",)),
    "fastestdet": OutputFormat("detection", ("cells",)),
    "yolo_v5": OutputFormat("detection", ("predictions",)),
    "yolo_v8": OutputFormat("detection", ("predictions",)),
    "torchvision": OutputFormat(
        "detection", ("boxes", "labels", "scores"), ("background",), batched=False, final=True
    ),
    "detr": OutputFormat("detection", ("logits", "boxes"), final=True),
    "mask_logits": OutputFormat("segmentation", ("mask_logits",)),
    "mask_index": OutputFormat("segmentation", ("mask_index",)),
    "class_logits": OutputFormat("classification", ("class_logits",)),
}


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
        levels = len(self.feature_maps)
        lengths = {
            "scales": (len(self.scales), levels + 1),
            "aspect_ratios": (len(self.aspect_ratios), levels),
        }
        if self.steps is not None:
            lengths["steps"] = (len(self.steps), levels)
        for name, (actual, expected) in lengths.items():
            if actual != expected:
                raise ConfigError(
                    f"default boxes have {actual} {name}: {levels} feature maps need {expected}"
                )
        if levels == 0:
            raise ConfigError("default boxes have no feature maps: give (rows, columns)")
        self._check_values()

    def _check_values(self) -> None:
        numbers: dict[str, list[float]] = {
            "feature_maps": [float(n) for size in self.feature_maps for n in size],
            "scales": list(self.scales),
            "aspect_ratios": [ratio for ratios in self.aspect_ratios for ratio in ratios],
            "steps": list(self.steps or ()),
            "image_size": [float(n) for n in self.image_size or ()],
        }
        for name, values in numbers.items():
            for value in values:
                if not (math.isfinite(value) and value > 0):
                    raise ConfigError(f"default boxes have {name} with {value:g}: must be positive")
        if self.steps is not None and self.image_size is None:
            raise ConfigError("default boxes have steps but no image_size: give (height, width)")

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


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The output of a network, as model.yaml describes it; see docs/models.md for each format.

    tensors: the name of the tensor for each role of the format. default_boxes and variances: for
    ssd_raw. background: for boxes_scores the column of scores, for torchvision the label, that
    means "no object"; or None.
    """

    format: str
    tensors: Mapping[str, str]
    default_boxes: DefaultBoxSpec | None = None
    variances: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    background: int | None = None
