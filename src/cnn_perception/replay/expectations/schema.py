"""What a replay can be held to: bounds on figures, tolerances of comparisons, labels to be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cnn_perception.components.registry import drop_reasons
from cnn_perception.messages import DROP_REASONS
from cnn_perception.replay.run import LATENCIES
from cnn_perception.settings import Config, Kind, SettingError, Text, setting
from cnn_perception.settings.errors import unknown

__all__ = ["Bound", "Expectations", "LabelTerm", "Tolerance", "shown"]


def shown(value: float) -> str:
    """Return a figure as people write it: whole numbers in full, others with six digits."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"


@dataclass(frozen=True, slots=True)
class Bound(Config):
    """A range that a figure must lie in, ends included."""

    minimum: float = setting(-math.inf, "Lowest value that is as expected", key="min")
    maximum: float = setting(math.inf, "Highest value that is as expected", key="max")

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        if self.minimum > self.maximum:
            raise SettingError(
                "",
                f"has min {self.minimum:g} above max {self.maximum:g}: nothing lies between them",
            )

    def allows(self, value: float) -> bool:
        """Say whether a figure lies in the range; NaN never does, rounding errors do not matter."""
        slack = 1e-9 * max(1.0, abs(value))
        return self.minimum - slack <= value <= self.maximum + slack

    def __str__(self) -> str:
        if self.minimum == self.maximum:
            return f"exactly {shown(self.minimum)}"
        if math.isinf(self.maximum):
            return f"{shown(self.minimum)} or more"
        if math.isinf(self.minimum):
            return f"{shown(self.maximum)} or less"
        return f"{shown(self.minimum)} to {shown(self.maximum)}"


class _BoundKind(Kind):
    """A number, which is meant exactly, or a mapping with min, max or both."""

    wanted = "a number, or a mapping with min, max or both"

    def __init__(self) -> None:
        limits = {**Bound.as_kind().schema, "minProperties": 1}
        self.schema = {"anyOf": [{"type": "number"}, limits]}

    def read(self, value: Any, folder: Path | None) -> Bound:
        if isinstance(value, Bound):
            return value
        if isinstance(value, Mapping):
            if not value:
                raise SettingError("", "has neither min nor max: give one, or a number")
            return Bound.from_mapping(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.misfit(value)
        try:
            return Bound.from_mapping({"min": value, "max": value})
        except SettingError as error:  # about min
            raise SettingError("", error.text) from error


_Bounds = Mapping[str, Annotated[Bound, _BoundKind()]]


@dataclass(frozen=True, slots=True)
class Tolerance(Config):
    """How far answers may be from the golden ones; the defaults leave room for rounding alone."""

    box_iou: float = setting(0.99, "Lowest overlap of a box with its own", between=(0.0, 1.0))
    score: float = setting(0.005, "Largest difference of scores", between=(0.0, 1.0))
    box_3d: float = setting(
        0.05,
        "Largest distance of centres of 3D boxes and difference of their edges, metres",
        between=(0.0, 1000.0),
    )
    mask: float = setting(
        0.001, "Largest share of a frame's pixels that differ", between=(0.0, 1.0)
    )
    heatmap: float | None = setting(
        None,
        "Largest mean difference of a frame's heat; without it none is compared",
        between=(0.0, 1.0),
    )
    map_cells: float = setting(
        0.001, "Largest share of the known cells whose occupancy differs", between=(0.0, 1.0)
    )


@dataclass(frozen=True, slots=True)
class LabelTerm(Config):
    """Labels that a node must, or must not, see in a part of the recording."""

    must: tuple[Text, ...] = setting((), "Labels that have to be seen")
    must_not: tuple[Text, ...] = setting((), "Labels that must not be seen")
    window_s: tuple[float, float | None] = setting(
        (0.0, None),
        "[from, to], seconds from the start of the bag; without an end to the bag's",
        minimum=0.0,
        key="window",
    )
    min_score: float = setting(0.0, "Lower scores do not count", between=(0.0, 1.0))
    min_frames: int = setting(1, "How many frames must show each label of must", between=(1, 10**9))
    node: Text = setting("detector", "Node that sees them")

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        if not self.must and not self.must_not:
            raise SettingError("must", "is missing: name labels under must or must_not")
        start, stop = self.window_s
        if stop is not None and stop <= start:
            raise SettingError(
                "window", f"= [{start:g}, {stop:g}] ends before it starts: give [from, to]"
            )


@dataclass(frozen=True, slots=True)
class Expectations(Config):
    """What a replay is held to; the defaults are what holds for every replay."""

    golden: Path | None = setting(None, "Bag of results to compare with, which --update records")
    tolerance: Tolerance = setting(Tolerance(), "How far answers may be from the golden ones")
    frames: Mapping[str, _Bounds] = setting(
        {}, "Counts of messages, by node", keys=("received", "processed", "dropped")
    )
    drops: _Bounds = setting({}, "Counts of dropped messages, by reason")
    rate: _Bounds = setting({}, "Processed messages per recorded second, by node")
    latency: Mapping[str, _Bounds] = setting({}, "Milliseconds, by node", keys=LATENCIES)
    labels: tuple[LabelTerm, ...] = setting((), "Labels that nodes must, or must not, see")
    map: _Bounds = setting(
        {}, "Figures of the map, metres or cells", keys=("resolution", "occupied", "free")
    )
    accuracy: _Bounds = setting(
        {},
        "Figures measured against what was really there, 0 to 1",
        keys=("map_50", "map_50_95", "miou", "map_precision", "map_recall"),
    )

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        for reason in self.drops:
            if reason not in DROP_REASONS and reason not in (known := drop_reasons()):
                raise unknown(reason, known).below("drops")
