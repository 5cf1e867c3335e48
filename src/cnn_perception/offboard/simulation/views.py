"""Where a robot's camera may stand and look: poses of the optical frame (REP-103) in the map."""

from __future__ import annotations

import numpy as np

from cnn_perception.offboard.simulation.floor_grid import CELL
from cnn_perception.offboard.simulation.meshes import rotation
from cnn_perception.offboard.simulation.plan import RoomPlan
from cnn_perception.types import CameraIntrinsics, Float64Array, RigidTransform

__all__ = ["OPTICAL_FROM_FORWARD", "camera_pose", "random_view"]

OPTICAL_FROM_FORWARD: Float64Array = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation of the optical frame (z forward, x right, y down) in a frame with x forward and z up."""


def camera_pose(
    position: tuple[float, float, float], yaw: float, pitch: float, roll: float = 0.0
) -> RigidTransform:
    """Return the pose of a camera that looks along yaw, `pitch` radians upwards."""
    forward = rotation("z", yaw) @ rotation("y", -pitch) @ rotation("x", roll)
    return RigidTransform(forward @ OPTICAL_FROM_FORWARD, np.array(position, np.float64))


def random_view(
    plan: RoomPlan, camera: CameraIntrinsics, rng: np.random.Generator
) -> RigidTransform:
    """Return a robot-high view: mostly of some object at a useful size, else across the room."""
    height = float(rng.uniform(0.4, 1.4))
    clearance = plan.grid.clearance(min(0.3, height - 0.15))
    if rng.random() < 0.7:
        tries = (_view_of_object(plan, camera, clearance, height, rng) for _ in range(30))
        poses = [pose for pose in tries if pose is not None][:3]
        if poses:
            return max(poses, key=lambda pose: _objects_in_view(plan, camera, pose))
    return _view_across(plan, clearance, height, rng)


def _objects_in_view(plan: RoomPlan, camera: CameraIntrinsics, pose: RigidTransform) -> int:
    """Return how many objects have their middle in the picture, within 4 m."""
    middles = np.array(
        [
            (*placed.position[:2], placed.position[2] + placed.shape.high[2] / 2)
            for placed in plan.objects
        ]
    )
    seen = (middles - pose.translation) @ pose.rotation
    x, y, z = seen.T
    front = np.maximum(z, 1e-3)
    wide, tall = camera.width / 2 / camera.fx, camera.height / 2 / camera.fy
    return int(
        ((z > 0.3) & (z < 4) & (np.abs(x) < wide * front) & (np.abs(y) < tall * front)).sum()
    )


def _view_of_object(
    plan: RoomPlan,
    camera: CameraIntrinsics,
    clearance: Float64Array,
    height: float,
    rng: np.random.Generator,
) -> RigidTransform | None:
    labels = [placed.shape.label for placed in plan.objects]
    weights = np.array([1 / labels.count(label) for label in labels])
    target = plan.objects[int(rng.choice(len(labels), p=weights / weights.sum()))]
    low, high = np.array(target.shape.low), np.array(target.shape.high)
    size = float((high - low).max())
    pixels = camera.width * np.exp(rng.uniform(np.log(0.09), np.log(0.55)))
    distance = float(np.clip(camera.fx * size / pixels, 0.45, 6.0))
    aim = np.array(target.position)
    aim[2] += float(low[2] + high[2]) / 2
    way = float(rng.uniform(-np.pi, np.pi))
    if aim[2] < 0.5 and distance < 1.5:
        height = min(height, float(rng.uniform(0.35, 0.8)))
    x, y = aim[0] - distance * np.cos(way), aim[1] - distance * np.sin(way)
    half_x, half_y = plan.size[0] / 2 - 0.2, plan.size[1] / 2 - 0.2
    if abs(x) > half_x or abs(y) > half_y or clearance[plan.grid.cell(x, y)] < 0.25:
        return None
    if not plan.grid.visible((x, y, height), aim):
        return None
    pitch = float(np.arctan2(aim[2] - height, distance) + rng.normal(0, 0.09))
    yaw = way + float(rng.normal(0, 0.22))
    return camera_pose(
        (x, y, height), yaw, float(np.clip(pitch, -0.5, 0.2)), float(rng.normal(0, 0.02))
    )


def _view_across(
    plan: RoomPlan, clearance: Float64Array, height: float, rng: np.random.Generator
) -> RigidTransform:
    """Return a view from free floor in a direction in which the room is wide."""
    least = min(0.3, 0.9 * float(clearance.max()))
    rows, columns = np.nonzero(clearance >= least)
    k = int(rng.integers(len(rows)))
    x = float((columns[k] + rng.random()) * CELL - plan.size[0] / 2)
    y = float((rows[k] + rng.random()) * CELL - plan.size[1] / 2)
    yaws = rng.uniform(-np.pi, np.pi, 6)
    reach = np.minimum(
        (plan.size[0] / 2 - x * np.sign(np.cos(yaws))) / np.maximum(np.abs(np.cos(yaws)), 1e-6),
        (plan.size[1] / 2 - y * np.sign(np.sin(yaws))) / np.maximum(np.abs(np.sin(yaws)), 1e-6),
    )
    good = np.flatnonzero(reach > 1.8)
    yaw = float(yaws[int(good[0])] if len(good) else yaws[int(reach.argmax())])
    return camera_pose(
        (x, y, height), yaw, float(rng.uniform(-0.35, 0.02)), float(rng.normal(0, 0.02))
    )
