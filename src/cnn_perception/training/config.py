"""What a training run is made of: one YAML file, checked, with unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cnn_perception.config import Config, setting
from cnn_perception.detection.default_boxes import DefaultBoxSpec
from cnn_perception.errors import ConfigError
from cnn_perception.training.augmentation import AugmentationConfig

__all__ = [
    "NetworkConfig",
    "OptimisationConfig",
    "TrainingPlan",
    "load_plan",
    "parse_plan",
]


@dataclass(frozen=True, slots=True)
class NetworkConfig(Config):
    """Size of the network and of its input."""

    image_width: int = setting(256, "Width of the input, pixels", minimum=64, maximum=1024)
    image_height: int = setting(192, "Height of the input, pixels", minimum=64, maximum=1024)
    width: float = setting(0.5, "Channel multiplier of MobileNetV2", minimum=0.1, maximum=2.0)
    box_width: int = setting(96, "Channels of the detector's pyramid", minimum=16, maximum=512)
    mask_width: int = setting(96, "Channels of the segmenter's decoder", minimum=16, maximum=512)


@dataclass(frozen=True, slots=True)
class OptimisationConfig(Config):
    """How long and how fast the network learns, and how its two losses are weighed."""

    seed: int = setting(0, "Seed of weights, order and augmentation", minimum=0)
    steps: int = setting(6000, "Batches in all", minimum=1)
    max_minutes: float = setting(
        1000.0, "Time limit, which shortens the schedule, minutes", minimum=0.01, maximum=100000.0
    )
    batch: int = setting(32, "Images in a batch", minimum=2, maximum=4096)
    learning_rate: float = setting(2e-3, "Peak learning rate (AdamW)", minimum=1e-7, maximum=1.0)
    weight_decay: float = setting(0.02, "Weight decay (AdamW)", minimum=0.0, maximum=1.0)
    warmup: float = setting(0.04, "Share of the run with a rising rate", minimum=0.0, maximum=0.5)
    ema_decay: float = setting(
        0.998, "Decay of the averaged weights, which are shipped", minimum=0.0, maximum=0.99999
    )
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
    bfloat16: bool = setting(True, "Multiply in bfloat16 where the processor is faster so")
    threads: int = setting(0, "Threads of PyTorch; 0 is one per core", minimum=0, maximum=256)
    checkpoint_minutes: float = setting(
        2.0, "Time between two checkpoints, minutes", minimum=0.01, maximum=1000.0
    )
    evaluate_minutes: float = setting(
        10.0, "Time between two evaluations, minutes", minimum=0.01, maximum=100000.0
    )


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that decides what comes out of a training run."""

    network: NetworkConfig
    augmentation: AugmentationConfig
    optimisation: OptimisationConfig
    default_boxes: DefaultBoxSpec


def load_plan(path: Path) -> TrainingPlan:
    """Return the plan that a YAML file describes; raises ConfigError naming what is wrong."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    return parse_plan(tree, str(path))


def parse_plan(tree: Any, source: str) -> TrainingPlan:
    """Return the plan in a parsed YAML tree; `source` names it in errors."""
    sections = {"network", "augmentation", "optimisation", "default_boxes"}
    if not isinstance(tree, dict) or set(tree) - sections or "default_boxes" not in tree:
        raise ConfigError(
            f"{source} is not a training plan: it needs default_boxes, and may have "
            f"{', '.join(sorted(sections - {'default_boxes'}))}"
        )
    for name, section in tree.items():
        if not isinstance(section, Mapping):
            raise ConfigError(f"{source}: {name} is not a mapping: write 'key: value' lines")
    network = NetworkConfig.from_mapping(tree.get("network", {}))
    return TrainingPlan(
        network,
        AugmentationConfig.from_mapping(tree.get("augmentation", {})),
        OptimisationConfig.from_mapping(tree.get("optimisation", {})),
        _boxes(tree["default_boxes"], network, source),
    )


def _boxes(section: Mapping[str, Any], network: NetworkConfig, source: str) -> DefaultBoxSpec:
    """Return the default boxes; maps follow from the input size and the strides 8, 16, 32 ..."""
    if set(section) != {"scales", "aspect_ratios"}:
        raise ConfigError(
            f"{source}: default_boxes has {', '.join(map(str, section))}: give scales and "
            "aspect_ratios"
        )
    try:
        scales = tuple(float(scale) for scale in section["scales"])
        ratios = tuple(tuple(float(r) for r in level) for level in section["aspect_ratios"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: default_boxes are not lists of numbers: {error}") from error
    size = (network.image_height, network.image_width)
    if size[0] % 32 or size[1] % 32:
        raise ConfigError(f"{source}: image {size[1]}x{size[0]}: both must be multiples of 32")
    maps = []
    rows, columns = size[0] // 8, size[1] // 8
    for _ in ratios:
        maps.append((rows, columns))
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return DefaultBoxSpec(tuple(maps), scales, ratios)
