"""The terms of expectations: bounds on figures, tolerances of comparisons, labels to be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Bound", "Expectations", "LabelTerm", "Tolerance", "shown"]


def shown(value: float) -> str:
    """Return a figure as people write it: whole numbers in full, others with six digits."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"


@dataclass(frozen=True, slots=True)
class Bound:
    """A range that a figure must lie in, ends included."""

    minimum: float = -math.inf
    maximum: float = math.inf

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


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far answers may be from the golden ones; the defaults leave room for rounding alone.

    box_iou: lowest overlap of a box with its own; score: largest difference; box_3d: largest
    distance of centres and difference of edges, metres; mask: largest share of the pixels of a
    frame that differ; heatmap: largest mean difference of a frame's heat, None compares none;
    map_cells: largest share of the known cells whose occupancy differs.
    """

    box_iou: float = 0.99
    score: float = 0.005
    box_3d: float = 0.05
    mask: float = 0.001
    heatmap: float | None = None
    map_cells: float = 0.001


@dataclass(frozen=True, slots=True)
class LabelTerm:
    """Labels that a node must, or must not, see in a part of the recording.

    window_s: seconds from the start of the bag, the end None for the bag's; min_score: lower scores
    do not count; min_frames: how many frames must show each label of `must`.
    """

    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    window_s: tuple[float, float | None] = (0.0, None)
    min_score: float = 0.0
    min_frames: int = 1
    node: str = "detector"


@dataclass(frozen=True, slots=True)
class Expectations:
    """What a replay is held to; the defaults are what holds for every replay.

    golden: a bag that `record_golden` wrote; frames: by node, then by processed, received or
    dropped; drops: by reason; rate: by node, Hz; latency: by node, then by p50, p95, p99 or max,
    milliseconds; map: by resolution, occupied or free; accuracy: by figure.
    """

    golden: Path | None = None
    tolerance: Tolerance = Tolerance()
    frames: Mapping[str, Mapping[str, Bound]] = field(default_factory=dict)
    drops: Mapping[str, Bound] = field(default_factory=dict)
    rate: Mapping[str, Bound] = field(default_factory=dict)
    latency: Mapping[str, Mapping[str, Bound]] = field(default_factory=dict)
    labels: tuple[LabelTerm, ...] = ()
    map: Mapping[str, Bound] = field(default_factory=dict)
    accuracy: Mapping[str, Bound] = field(default_factory=dict)
