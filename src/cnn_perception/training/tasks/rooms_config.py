"""The section ``network`` of a plan for simulated rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnn_perception.config import Config, setting
from cnn_perception.errors import ConfigError
from cnn_perception.runtime.outputs import DefaultBoxSpec

__all__ = ["RoomsConfig", "parse_rooms"]


@dataclass(frozen=True, slots=True)
class RoomsConfig(Config):
    """Size of the network and of its input, and how its losses are weighed."""

    image_width: int = setting(256, "Width of the input, pixels", minimum=64, maximum=1024)
    image_height: int = setting(192, "Height of the input, pixels", minimum=64, maximum=1024)
    width: float = setting(0.5, "Channel multiplier of MobileNetV2", minimum=0.1, maximum=2.0)
    box_width: int = setting(96, "Channels of the detector's pyramid", minimum=16, maximum=512)
    mask_width: int = setting(96, "Channels of the segmenter's decoder", minimum=16, maximum=512)
    match_iou: float = setting(
        0.45, "Overlap from which a default box is an object", minimum=0.1, maximum=0.9
    )
    ignore_iou: float = setting(
        0.4,
        "Default boxes from this overlap up to match_iou, or with a difficult object, do not count",
        minimum=0.1,
        maximum=0.9,
    )
    negatives: float = setting(
        3.0, "Hard negatives per positive default box", minimum=0.5, maximum=100.0
    )
    mask_weight: float = setting(1.0, "Weight of the mask loss", minimum=0.0, maximum=100.0)
    box_weight: float = setting(1.0, "Weight of the box loss", minimum=0.0, maximum=100.0)


def parse_rooms(section: Mapping[str, Any]) -> tuple[RoomsConfig, DefaultBoxSpec]:
    """Return the settings and the default boxes; raises ConfigError naming what is wrong."""
    rest = {name: value for name, value in section.items() if name != "default_boxes"}
    config = RoomsConfig.from_mapping(rest)
    size = (config.image_width, config.image_height)
    return config, _default_boxes(section.get("default_boxes"), size)


def _default_boxes(section: Any, size: tuple[int, int]) -> DefaultBoxSpec:
    """Return the default boxes; maps follow from the input size and the strides 8, 16, 32 ..."""
    if not isinstance(section, Mapping) or set(section) != {"scales", "aspect_ratios"}:
        raise ConfigError("network.default_boxes: give scales and aspect_ratios, and nothing else")
    try:
        scales = tuple(float(scale) for scale in section["scales"])
        ratios = tuple(tuple(float(r) for r in level) for level in section["aspect_ratios"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"network.default_boxes are not lists of numbers: {error}") from error
    if size[0] % 32 or size[1] % 32:
        raise ConfigError(f"image {size[0]}x{size[1]}: both must be multiples of 32")
    maps = []
    rows, columns = size[1] // 8, size[0] // 8
    for _ in ratios:
        maps.append((rows, columns))
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return DefaultBoxSpec(tuple(maps), scales, ratios)
