"""What a room consists of, before it is rendered."""

from __future__ import annotations

from dataclasses import dataclass, field

from cnn_perception.offboard.simulation.floor_grid import FloorGrid
from cnn_perception.offboard.simulation.shapes import Placed

__all__ = ["Lamp", "RoomPlan"]


@dataclass(frozen=True, slots=True)
class Lamp:
    """A light: position and color (RGB factors), and whether it throws shadows."""

    position: tuple[float, float, float]
    color: tuple[float, float, float]
    shadows: bool


@dataclass(slots=True, eq=False)
class RoomPlan:
    """A whole room: size in metres, fixtures (no instances), objects (instances), lamps, the light
    that surfaces throw back (ambient; fill from four sides and below), floor grid."""

    size: tuple[float, float, float]
    grid: FloorGrid
    fixtures: list[Placed] = field(default_factory=list)
    objects: list[Placed] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    ambient: float = 0.35
    fill: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    wall_spans: dict[int, list[tuple[float, float, float, float]]] = field(default_factory=dict)
