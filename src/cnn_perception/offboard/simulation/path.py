"""A drive through a room: a smooth path over free floor, looking at what is worth seeing."""

from __future__ import annotations

import heapq

import cv2
import numpy as np

from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.simulation.floor_grid import CELL, FloorGrid
from cnn_perception.offboard.simulation.meshes import rotation
from cnn_perception.offboard.simulation.plan import RoomPlan
from cnn_perception.offboard.simulation.views import OPTICAL_FROM_FORWARD
from cnn_perception.types import BoolArray, Float64Array, RigidTransform

__all__ = ["CAMERA_HEIGHT", "base_from_link", "link_from_optical", "plan_drive"]

CAMERA_HEIGHT = 0.95
"""Metres from the floor to the camera of the driving robot."""
_PITCH = 0.2
_SPEED = 0.35
_MARGINS = (0.4, 0.35, 0.3, 0.25, 0.2, 0.15)
_TOURS = 6
_LOOK_AROUND = 0.4
_DIRECTIONS = 72
_DECISIONS_HZ = 4.0
_STEP = 0.02

Cell = tuple[int, int]


def base_from_link() -> RigidTransform:
    """Return the pose of camera_link (x forward) on the robot: above the base, tilted down."""
    return RigidTransform(rotation("y", _PITCH), np.array([0.05, 0.0, CAMERA_HEIGHT]))


def link_from_optical() -> RigidTransform:
    """Return the pose of the optical frame (z forward, REP-103) in camera_link."""
    return RigidTransform(OPTICAL_FROM_FORWARD.copy(), np.zeros(3))


def plan_drive(
    plan: RoomPlan, seconds: float, hz: float, rng: np.random.Generator
) -> list[RigidTransform]:
    """Return round(seconds * hz) poses of the robot's base in the map, `1 / hz` seconds apart.

    The base moves at up to 0.35 m/s, starts and ends at rest, and turns on its own towards objects
    in sight (an omnidirectional robot). Raises PerceptionError for a room with no free floor.
    """
    count = max(1, round(seconds * hz))
    times = np.arange(count) / hz
    clearance = plan.grid.clearance()
    free = _open_floor(clearance)
    travel = _distance_travelled(times)
    best: tuple[float, Float64Array, Float64Array] | None = None
    for _ in range(_TOURS):
        line = _tour(plan.grid, clearance, free, float(travel[-1]), rng)
        points = np.stack([np.interp(travel, _lengths(line), line[:, k]) for k in range(2)], axis=1)
        # Smoothing over time slows the robot down where its route turns back.
        points = _smoothed(points, 0.4 * hz)
        turn = float(rng.uniform(-np.pi, np.pi)), float(rng.choice([-1.0, 1.0])) * _LOOK_AROUND
        score, yaws = _gaze(plan, points, times, turn)
        if best is None or score > best[0]:
            best = (score, points, yaws)
    assert best is not None
    _, points, yaws = best
    return [
        RigidTransform(rotation("z", float(yaw)), np.array([x, y, 0.0]))
        for (x, y), yaw in zip(points, yaws, strict=True)
    ]


def _distance_travelled(times: Float64Array) -> Float64Array:
    """Return the metres covered at each time, with a second to speed up and one to stop."""
    ramp = np.minimum(times, times[-1] - times)
    speed = _SPEED * np.clip(ramp, 0.0, 1.0)
    steps = (speed[1:] + speed[:-1]) / 2 * np.diff(times)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _open_floor(clearance: Float64Array) -> BoolArray:
    """Return the largest connected piece of floor with as much room to every side as there is."""
    for margin in _MARGINS:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            (clearance >= margin).astype(np.uint8), connectivity=4
        )
        if count > 1:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            if stats[largest, cv2.CC_STAT_AREA] * CELL**2 > 1.0:
                return np.asarray(labels == largest)
    raise PerceptionError("this room has no floor free enough to drive on: choose another seed")


def _tour(
    grid: FloorGrid,
    clearance: Float64Array,
    free: BoolArray,
    length: float,
    rng: np.random.Generator,
) -> Float64Array:
    """Return points x, y, float (N, 2), 2 cm apart, of a smooth walk at least `length` long."""
    cells = np.argwhere(free)
    here: Cell = tuple(cells[int(rng.integers(len(cells)))].tolist())
    route: list[Cell] = [here]
    while len(route) * CELL < 1.1 * length + 0.5:
        far = np.linalg.norm(cells - np.array(here), axis=1) * CELL
        goals = cells[far >= min(1.2, 0.8 * float(far.max()))]
        goal: Cell = tuple(goals[int(rng.integers(len(goals)))].tolist())
        route += _route(clearance, free, here, goal)[1:]
        here = goal
    middle = np.array([grid.depth, grid.width]) / 2
    line = (((np.array(route, float) + 0.5) * CELL) - middle)[:, ::-1]
    for deviation in (0.3, 0.2, 0.12, 0.06):
        smooth = _smoothed(_resampled(line), deviation / _STEP)
        if min(clearance[grid.cell(x, y)] for x, y in smooth) > 0.1:
            break
    return _resampled(smooth)


def _route(clearance: Float64Array, free: BoolArray, start: Cell, goal: Cell) -> list[Cell]:
    """Return the cheapest chain of free cells (Dijkstra); nearness to things costs extra."""
    cost = 1.0 + (0.35 / np.maximum(clearance, 0.05)) ** 2
    best: dict[Cell, float] = {start: 0.0}
    came: dict[Cell, Cell] = {}
    queue = [(0.0, start)]
    while queue:
        spent, cell = heapq.heappop(queue)
        if cell == goal:
            break
        if spent > best[cell]:
            continue
        for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            near = (cell[0] + dr, cell[1] + dc)
            if not (0 <= near[0] < free.shape[0] and 0 <= near[1] < free.shape[1] and free[near]):
                continue
            total = spent + float(cost[near]) * (1.4142 if dr and dc else 1.0)
            if total < best.get(near, np.inf):
                best[near] = total
                came[near] = cell
                heapq.heappush(queue, (total, near))
    chain = [goal]
    while chain[-1] != start:
        chain.append(came[chain[-1]])
    return chain[::-1]


def _lengths(line: Float64Array) -> Float64Array:
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _resampled(line: Float64Array) -> Float64Array:
    """Return points every 2 cm along a polyline."""
    length = _lengths(line)
    at = np.arange(0.0, float(length[-1]), _STEP)
    return np.stack([np.interp(at, length, line[:, k]) for k in range(2)], axis=1)


def _smoothed(values: Float64Array, deviation: float) -> Float64Array:
    """Return rows of float (N, K) smoothed by a Gaussian of `deviation` rows; the ends stay put."""
    reach = int(np.ceil(3 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-6)) ** 2)
    kernel /= kernel.sum()
    # Reflecting each end through itself keeps it where it is.
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def _gaze(
    plan: RoomPlan, points: Float64Array, times: Float64Array, turn: tuple[float, float]
) -> tuple[float, Float64Array]:
    """Return how much a walk lets one see, and the yaw in which to look at each of its points.

    Besides objects and the way ahead, what counts is a slow look around the whole room: `turn` is
    its first direction, radians, and its rate, radians/s.
    """
    decisions = np.arange(0.0, float(times[-1]) + 1.0 / _DECISIONS_HZ, 1.0 / _DECISIONS_HZ)
    stops = np.stack([np.interp(decisions, times, points[:, k]) for k in range(2)], axis=1)
    worth = np.stack([_worth(plan, stop) for stop in stops])
    heading = np.arctan2(*np.gradient(stops, axis=0).T[::-1]) if len(stops) > 1 else np.zeros(1)
    bins = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    sweep = turn[0] + turn[1] * decisions
    worth += 0.4 * np.cos(bins[None, :] - heading[:, None])
    worth += 1.5 * np.cos(bins[None, :] - sweep[:, None])
    # Viterbi over directions: what is seen, less the square of the turn, at most 40 degrees/s.
    turns = np.arange(-2, 3)
    total = worth[0].copy()
    origin = np.zeros((len(stops), _DIRECTIONS), np.int64)
    for k in range(1, len(stops)):
        options = np.stack([np.roll(total, -step) - 0.08 * step**2 for step in turns])
        choice = options.argmax(axis=0)
        origin[k] = turns[choice]
        total = options.max(axis=0) + worth[k]
    direction = int(total.argmax())
    chosen = [0] * len(stops)
    for k in range(len(stops) - 1, -1, -1):
        chosen[k] = direction
        direction = (direction + int(origin[k, direction])) % _DIRECTIONS
    yaws = np.unwrap(bins[np.array(chosen)])
    dense = np.interp(times, decisions, yaws)[:, None]
    per_second = 1.0 / max(float(times[1] - times[0]), 1e-3) if len(times) > 1 else 1.0
    return float(total.max()), _smoothed(dense, 0.5 * per_second)[:, 0]


def _worth(plan: RoomPlan, stop: Float64Array) -> Float64Array:
    """Return for each direction what one sees there from a point: objects, and not a near wall."""
    bins = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    eye = (float(stop[0]), float(stop[1]), CAMERA_HEIGHT)
    seen, blocked = np.zeros(_DIRECTIONS), np.zeros(_DIRECTIONS)
    for placed in plan.objects:
        x, y, z = placed.position
        middle, distance = placed.shape.high[2] / 2, float(np.hypot(x - eye[0], y - eye[1]))
        # What stands on a table counts with the table.
        if z > 0 or distance > 4.5:
            continue
        off = np.angle(np.exp(1j * (bins - np.arctan2(y - eye[1], x - eye[0]))))
        nearness = np.exp(-0.5 * (off / 0.4) ** 2)
        if distance < 0.9 and placed.shape.high[2] > 0.6:
            blocked += nearness
        elif distance > 0.8 and plan.grid.visible(eye, (x, y, middle)):
            seen += nearness * (1.0 if distance < 3.0 else 0.5)
    sides = np.array([plan.size[0] / 2, plan.size[1] / 2])
    way = np.stack([np.cos(bins), np.sin(bins)], axis=1)
    reach = ((sides - stop * np.sign(way)) / np.maximum(np.abs(way), 1e-6)).min(axis=1)
    interest = 2.5 * (1.0 - np.exp(-seen / 1.5))
    return np.asarray(interest + 0.6 * np.minimum(reach, 3.0) - blocked, np.float64)
