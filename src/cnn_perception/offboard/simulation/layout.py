"""Where things are: a random, collision-free arrangement of a room, decided before rendering."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn_perception.offboard.simulation import shell, textures
from cnn_perception.offboard.simulation.floor_grid import FloorGrid
from cnn_perception.offboard.simulation.furnishing import MAKERS, furnish
from cnn_perception.offboard.simulation.plan import Lamp, RoomPlan
from cnn_perception.offboard.simulation.shapes import Placed

__all__ = ["plan_room"]

Generator = np.random.Generator


def plan_room(rng: Generator) -> RoomPlan:
    """Return a random room."""
    width, depth = (float(v) for v in rng.uniform(3.4, 6.8, 2))
    height = float(rng.uniform(2.35, 3.0))
    plan = RoomPlan((width, depth, height), FloorGrid(width, depth))
    sides = shell.walls(width, depth)
    _build_shell(rng, plan, sides)
    for _ in range(int(rng.choice([1, 1, 2]))):
        _against_wall(rng, plan, sides, "door")
    if rng.random() < 0.75:
        for _ in range(int(rng.choice([1, 1, 2]))):
            _against_wall(rng, plan, sides, "shelf")
    furnish(rng, plan)
    _decorate(rng, plan, sides)
    _light(rng, plan)
    return plan


def _build_shell(rng: Generator, plan: RoomPlan, sides: Sequence[shell.Wall]) -> None:
    width, depth, height = plan.size
    plan.fixtures.append(shell.floor(rng, width, depth))
    plan.fixtures.append(shell.ceiling(rng, width, depth, height))
    common, accent = shell.wall_skin(rng), shell.wall_skin(rng)
    special = int(rng.integers(0, 4)) if rng.random() < 0.45 else -1
    tone = float(rng.uniform(0.75, 0.98))
    base: textures.Color | None = (tone, tone, tone * 0.97)
    if rng.random() < 0.3:
        base = textures.wood_color(rng)
    elif rng.random() < 0.15:
        base = None
    for k, wall in enumerate(sides):
        skin = accent if k == special else common
        plan.fixtures.append(shell.wall_sheet(rng, wall, height, skin, base))
        plan.wall_spans[k] = []


def _span_free(plan: RoomPlan, wall: int, span: tuple[float, float, float, float]) -> bool:
    """Say whether a rectangle on a wall (from, to, low, high) is free of all others there."""
    return all(
        span[1] < other[0] or span[0] > other[1] or span[3] < other[2] or span[2] > other[3]
        for other in plan.wall_spans[wall]
    )


def _against_wall(rng: Generator, plan: RoomPlan, sides: Sequence[shell.Wall], label: str) -> None:
    shape = MAKERS[label](rng)
    half = (shape.high[1] - shape.low[1]) / 2
    for _ in range(20):
        k = int(rng.integers(0, 4))
        reach = sides[k].length / 2 - half - 0.05
        if reach <= 0:
            continue
        along = float(rng.uniform(-reach, reach))
        span = (along - half - 0.05, along + half + 0.05, 0.0, shape.high[2] + 0.05)
        x, y = sides[k].at(along, 0.012)
        taken = plan.grid.footprint(shape, x, y, sides[k].yaw, 0.05).astype(bool)
        if _span_free(plan, k, span) and not plan.grid.heights[taken].any():
            plan.wall_spans[k].append(span)
            plan.objects.append(Placed(shape, (x, y, 0.0), sides[k].yaw))
            # What stands in front of a door must leave it visible.
            plan.grid.take(shape, x, y, sides[k].yaw)
            return


def _decorate(rng: Generator, plan: RoomPlan, sides: Sequence[shell.Wall]) -> None:
    height = plan.size[2]
    for _ in range(int(rng.integers(3, 9))):
        shape = shell.decoration(rng, height)
        half = (shape.high[1] - shape.low[1]) / 2
        k = int(rng.integers(0, 4))
        reach = sides[k].length / 2 - half - 0.1
        if reach <= 0:
            continue
        along = float(rng.uniform(-reach, reach))
        span = (along - half - 0.06, along + half + 0.06, shape.low[2] - 0.05, shape.high[2] + 0.05)
        if _span_free(plan, k, span):
            plan.wall_spans[k].append(span)
            x, y = sides[k].at(along)
            plan.fixtures.append(Placed(shape, (x, y, 0.0), sides[k].yaw))
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        rug = shell.rug(rng)
        x, y = rng.uniform(-0.5, 0.5, 2) * np.array(plan.size[:2]) * 0.7
        yaw = (
            float(rng.choice([0.0, np.pi / 2]))
            if rng.random() < 0.6
            else float(rng.uniform(0, np.pi))
        )
        if plan.grid.inside(rug, float(x), float(y), yaw):
            lift = 0.001 * len(plan.fixtures)
            plan.fixtures.append(Placed(rug, (float(x), float(y), lift * 0.1), yaw))


def _light(rng: Generator, plan: RoomPlan) -> None:
    width, depth, height = plan.size
    count = int(rng.integers(2, 5))
    shares = rng.dirichlet(np.full(count, 3.0)) * rng.uniform(0.55, 0.85)
    order = np.argsort(-shares)
    shadows = 1 if rng.random() < 0.7 else 2
    warm = rng.uniform(-0.1, 0.13)
    plan.ambient = float(rng.uniform(0.3, 0.5))
    plan.fill = tuple(float(v) for v in rng.uniform(0.1, 0.28, 5))
    for rank, k in enumerate(order):
        x, y = float(rng.uniform(-0.4, 0.4) * width), float(rng.uniform(-0.4, 0.4) * depth)
        tint = warm + rng.uniform(-0.06, 0.06)
        level = float(shares[k])
        tone = (level * (1 + tint), level, level * (1 - 1.3 * tint))
        plan.lamps.append(Lamp((x, y, height - 0.12), tone, rank < shadows))
        if rank < 2:
            plan.fixtures.append(Placed(shell.lamp(rng, height), (x, y, 0.0), 0.0))
