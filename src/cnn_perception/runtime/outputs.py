"""What a network's output tensors mean: the output formats and the default boxes of SSD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cnn_perception.image.preprocess import LARGEST_SIDE
from cnn_perception.settings import REQUIRED, Config, SettingError, Text, setting

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


@dataclass(frozen=True, slots=True)
class OutputSpec(Config):
    """The output of a network, as model.yaml describes it; see docs/models.md for each format."""

    format: str = setting(REQUIRED, "How answers are encoded", choices=tuple(OUTPUT_FORMATS))
    tensors: Mapping[str, Text] = setting(
        REQUIRED,
        "Name of the tensor for each role of the format",
        keys=tuple({role: None for form in OUTPUT_FORMATS.values() for role in form.roles}),
    )
    default_boxes: DefaultBoxSpec | None = setting(None, "ssd_raw: what offsets are from")
    variances: tuple[float, float, float, float] = setting(
        (0.1, 0.1, 0.2, 0.2),
        "ssd_raw: what offsets are multiplied with, x, y, width, height",
        between=(1e-6, 1e6),
    )
    background: int | None = setting(
        None,
        'The column of scores (boxes_scores) or the label (torchvision) that means "no object"',
        between=(0, 1 << 16),
    )
