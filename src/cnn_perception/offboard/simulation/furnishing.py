"""Put objects into a room so that none stands in another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnn_perception.offboard.simulation import chairs, furniture, items, people, plants, robots
from cnn_perception.offboard.simulation.plan import RoomPlan
from cnn_perception.offboard.simulation.shapes import Placed, Shape

__all__ = ["MAKERS", "furnish"]

Generator = np.random.Generator
MAKERS: dict[str, Callable[[Generator], Shape]] = {
    "chair": chairs.chair,
    "table": furniture.table,
    "ball": items.ball,
    "bottle": items.bottle,
    "cup": items.cup,
    "plant": plants.plant,
    "box": items.box_of_board,
    "cone": items.cone,
    "robot": robots.robot,
    "person": people.person,
    "door": furniture.door,
    "shelf": furniture.shelf,
}
"""How each of OBJECT_CLASSES is made."""


def furnish(rng: Generator, plan: RoomPlan) -> None:
    """Place tables with chairs about them, then the rest, then small things on top."""
    tables = [t for _ in range(int(rng.choice([1, 1, 2]))) if (t := _stand(rng, plan, "table"))]
    for table in tables:
        for _ in range(int(rng.integers(0, 4))):
            _seat(rng, plan, table)
    counts = {
        "person": rng.choice([0, 1, 2, 2]),
        "robot": rng.choice([0, 1, 2, 2]),
        "plant": rng.choice([0, 1, 2, 2]),
        "box": rng.choice([0, 1, 2, 3]),
        "cone": rng.choice([0, 1, 2, 2]),
        "ball": rng.choice([0, 1, 2]),
        "chair": rng.choice([0, 1, 1]),
        "bottle": rng.choice([0, 1, 1]),
        "cup": rng.choice([0, 1, 1]),
    }
    area = plan.size[0] * plan.size[1]
    for label in rng.permutation(list(counts)):
        for _ in range(int(counts[label])):
            if float((plan.grid.heights > 0).mean()) < 0.3 or area > 35:
                _stand(rng, plan, str(label))
    for placed in list(plan.objects):
        if placed.shape.support is not None:
            _load(rng, plan, placed)


def _fits(
    plan: RoomPlan, shape: Shape, x: float, y: float, yaw: float, margin: float = 0.04
) -> bool:
    grid = plan.grid
    if not grid.inside(shape, x, y, yaw):
        return False
    return not grid.heights[grid.footprint(shape, x, y, yaw, margin).astype(bool)].any()


def _stand(rng: Generator, plan: RoomPlan, label: str) -> Placed | None:
    """Put a new object of a class on free floor, often near a wall and square to it."""
    shape = MAKERS[label](rng)
    for _ in range(25):
        x, y = (float(v) for v in rng.uniform(-0.5, 0.5, 2) * np.array(plan.size[:2]))
        yaw = float(rng.uniform(-np.pi, np.pi))
        if label in ("table", "box") and rng.random() < 0.6:
            yaw = float(rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2]))
        if _fits(plan, shape, x, y, yaw):
            return _put(plan, shape, (x, y, 0.0), yaw)
    return None


def _put(plan: RoomPlan, shape: Shape, position: tuple[float, float, float], yaw: float) -> Placed:
    placed = Placed(shape, position, yaw)
    plan.objects.append(placed)
    if position[2] == 0.0:
        plan.grid.take(shape, position[0], position[1], yaw)
    return placed


def _seat(rng: Generator, plan: RoomPlan, table: Placed) -> None:
    """Put a chair beside a table, facing it."""
    shape = chairs.chair(rng)
    for _ in range(12):
        side = table.yaw + float(rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2]))
        across = abs(np.sin(side - table.yaw)) > 0.5
        reach = table.shape.high[1 if across else 0] + shape.high[0] + rng.uniform(0.06, 0.35)
        slide = rng.uniform(-0.35, 0.35)
        c, s = np.cos(side), np.sin(side)
        x = table.position[0] + reach * c - slide * s
        y = table.position[1] + reach * s + slide * c
        yaw = side + np.pi + rng.uniform(-0.35, 0.35)
        if _fits(plan, shape, float(x), float(y), float(yaw), 0.02):
            _put(plan, shape, (float(x), float(y), 0.0), float(yaw))
            return


def _load(rng: Generator, plan: RoomPlan, carrier: Placed) -> None:
    """Put small things on a table or a box."""
    support = carrier.shape.support
    assert support is not None
    on_table = carrier.shape.label == "table"
    count = int(rng.integers(2, 7)) if on_table else int(rng.choice([0, 0, 1]))
    circles: list[tuple[float, float, float]] = []
    for _ in range(count):
        label = str(
            rng.choice(["bottle", "cup", "plant", "box", "ball"], p=[0.36, 0.38, 0.09, 0.09, 0.08])
        )
        shape = MAKERS[label](rng)
        radius = float(np.hypot(*np.maximum(np.abs(shape.low[:2]), np.abs(shape.high[:2]))))
        reach = np.array([support.half_x, support.half_y]) - (
            radius * 0.6 if radius < 0.12 else radius * 0.8
        )
        if reach.min() < 0 or shape.high[2] > 0.6:
            continue
        for _ in range(8):
            u, v = (float(a) for a in rng.uniform(-1, 1, 2) * reach)
            if all(np.hypot(u - a, v - b) > radius + r + 0.01 for a, b, r in circles):
                circles.append((u, v, radius))
                c, s = np.cos(carrier.yaw), np.sin(carrier.yaw)
                x = carrier.position[0] + u * c - v * s
                y = carrier.position[1] + u * s + v * c
                _put(plan, shape, (float(x), float(y), support.height), float(rng.uniform(0, 6.28)))
                break
