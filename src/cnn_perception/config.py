"""Settings: one frozen dataclass per component, from which ROS parameters and CLI options come.

A field is made with `setting`, which keeps its description, range or choices, and whether it may
change while the component runs. Every instance is checked when it is made, whoever makes it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from cnn_perception.errors import ConfigError

__all__ = [
    "Config",
    "DetectorConfig",
    "ExplainerConfig",
    "MapperConfig",
    "SegmenterConfig",
    "SessionConfig",
    "Setting",
    "setting",
    "settings",
]

C = TypeVar("C", bound="Config")


@dataclass(frozen=True, slots=True)
class Setting:
    """One field: its description, allowed values, whether it changes live, its ROS name."""

    name: str
    type: type
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None
    live: bool = False
    parameter: str = ""

    def check(self, value: Any) -> None:
        """Raise ConfigError unless `value` has the right type and lies in the range."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        fits = isinstance(value, self.type) and (whole or self.type is not int)
        if not (fits or (self.type is float and whole)):
            raise ConfigError(
                f"{self.name} = {value!r} is of type {type(value).__name__}: "
                f"give a {self.type.__name__}"
            )
        if self.choices is not None and value not in self.choices:
            raise ConfigError(f"{self.name} = {value!r}: choose one of {', '.join(self.choices)}")
        if isinstance(value, float) and math.isnan(value):
            raise ConfigError(f"{self.name} = nan: give a number")
        if self.minimum is not None and value < self.minimum:
            raise ConfigError(f"{self.name} = {value!r} is below the minimum {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise ConfigError(f"{self.name} = {value!r} is above the maximum {self.maximum:g}")


def setting(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    live: bool = False,
    parameter: str = "",
) -> Any:
    """Declare a field of a Config.

    `live` says that it may change between two frames; `parameter` is its ROS parameter's name where
    an established node has set one, else the field's own name.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "description": description,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "live": live,
            "parameter": parameter,
        },
    )


def settings(config: type[Config] | Config) -> tuple[Setting, ...]:
    """Return the settings of a configuration class, in order of declaration."""
    cls = config if isinstance(config, type) else type(config)
    hints = get_type_hints(cls)
    return tuple(
        Setting(field.name, hints[field.name], field.default, **field.metadata)
        for field in dataclasses.fields(cls)
    )


@dataclass(frozen=True, slots=True)
class Config:
    """Base of every configuration: checked when made; unknown names are refused."""

    def __post_init__(self) -> None:
        for known in settings(self):
            known.check(getattr(self, known.name))

    @classmethod
    def from_mapping(cls: type[C], values: Mapping[str, Any]) -> C:
        """Build from names and values; raises ConfigError for an unknown name and a bad value."""
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
                raise ConfigError(f"unknown setting {name!r} of {cls.__name__}: {hint}")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class SessionConfig(Config):
    """How a network is run by ONNX Runtime."""

    provider: str = setting(
        "auto",
        "Execution provider: auto takes CUDA where it works, else the CPU; cuda fails without it",
        choices=("auto", "cpu", "cuda"),
    )
    threads: int = setting(
        1, "Threads within one network; 0 lets ONNX Runtime choose", minimum=0, maximum=256
    )


@dataclass(frozen=True, slots=True)
class DetectorConfig(Config):
    """What the detector keeps of the network's answers. A negative threshold takes the model's."""

    score_threshold: float = setting(
        -1.0,
        "Lowest score of a detection; negative takes the model's own",
        minimum=-1.0,
        maximum=1.0,
        live=True,
    )
    iou_threshold: float = setting(
        -1.0,
        "Overlap (IoU) above which the weaker of two boxes of one class is dropped; negative takes "
        "the model's own",
        minimum=-1.0,
        maximum=1.0,
        live=True,
    )
    max_detections: int = setting(
        100, "Most detections in one image", minimum=1, maximum=1000, live=True
    )


@dataclass(frozen=True, slots=True)
class SegmenterConfig(Config):
    """How the segmenter's overlay is drawn."""

    overlay_alpha: float = setting(
        0.5, "Opacity of the mask in the overlay", minimum=0.0, maximum=1.0, live=True
    )


@dataclass(frozen=True, slots=True)
class ExplainerConfig(Config):
    """What is explained and how it is shown."""

    target_class: str = setting(
        "", "Explain the best detection of this class; empty takes the best of all", live=True
    )
    score_threshold: float = setting(
        -1.0,
        "Lowest score that is explained; negative takes the model's own",
        minimum=-1.0,
        maximum=1.0,
        live=True,
    )
    overlay_alpha: float = setting(
        0.5, "Opacity of the heat map in the overlay", minimum=0.0, maximum=1.0, live=True
    )


@dataclass(frozen=True, slots=True)
class MapperConfig(Config):
    """The occupancy map's geometry and sensor model (OctoMap, Hornung et al. 2013)."""

    engine: str = setting("octomap", "Mapping engine", choices=("octomap",))
    resolution: float = setting(
        0.05, "Edge of the smallest cell, metres", minimum=0.001, maximum=10.0
    )
    max_range: float = setting(
        5.0,
        "Readings beyond this range, metres, clear space but mark nothing; negative is unlimited",
        minimum=-1.0,
        maximum=1000.0,
        live=True,
        parameter="sensor_model.max_range",
    )
    min_range: float = setting(
        0.0,
        "Readings nearer than this, metres, are ignored",
        minimum=0.0,
        maximum=1000.0,
        live=True,
    )
    depth_stride: int = setting(
        1, "Use every n-th row and column of depth images", minimum=1, maximum=64, live=True
    )
    discretize: bool = setting(
        False, "Cast one ray per occupied cell instead of one per point", live=True
    )
    probability_hit: float = setting(
        0.7, "Occupancy given a hit", minimum=0.5, maximum=0.999, parameter="sensor_model.hit"
    )
    probability_miss: float = setting(
        0.4, "Occupancy given a miss", minimum=0.001, maximum=0.5, parameter="sensor_model.miss"
    )
    clamp_min: float = setting(
        0.1192,
        "Lowest occupancy a cell keeps",
        minimum=0.001,
        maximum=0.499,
        parameter="sensor_model.min",
    )
    clamp_max: float = setting(
        0.971,
        "Highest occupancy a cell keeps",
        minimum=0.501,
        maximum=0.999,
        parameter="sensor_model.max",
    )
    occupancy_min_z: float = setting(
        -100.0, "Lowest z, metres, that is published", minimum=-1e4, maximum=1e4, live=True
    )
    occupancy_max_z: float = setting(
        100.0, "Highest z, metres, that is published", minimum=-1e4, maximum=1e4, live=True
    )
