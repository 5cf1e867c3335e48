"""A small drive with painted pictures, whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import recorded_robot as robot
from cnn_perception.recording.compose import encode
from cnn_perception.types import CameraIntrinsics, RigidTransform, StampedTransform
from recorded_robot import COLOR, DEPTH, INFO, SECOND, START_NS, Record

FRAMES = 20
PERIOD_NS = 100_000_000
SIZE = WIDTH, HEIGHT = 160, 120
_CAMERA = CameraIntrinsics(WIDTH, HEIGHT, 130.0, 130.0, 79.5, 59.5)


def write_drive(path: Path) -> Path:
    """Write 20 frames, 10 per second: two colored cells before a wall two metres away."""
    return robot.write(path, messages(FRAMES))


def messages(frames: int) -> list[Record]:
    """Return so many frames of the drive, each recorded when it was taken."""
    return [robot.mount(), *(each for index in range(frames) for each in _frame(index))]


def stamp_of(index: int) -> int:
    """Return the stamp of the image of that number."""
    return START_NS + index * PERIOD_NS


def _frame(index: int) -> list[Record]:
    seconds = index * PERIOD_NS / SECOND
    pose = RigidTransform(np.eye(3), np.array([0.02 * index, 0.0, 0.0]))
    edge = StampedTransform("map", "base_link", stamp_of(index), pose)
    picture = robot.picture(WIDTH, HEIGHT, red=(2, index % 8), green=(4, 3))
    return [
        Record("/tf", seconds, encode.transforms(edge)),
        Record(INFO, seconds, encode.camera_info(robot.header(seconds), _CAMERA)),
        Record(DEPTH, seconds, robot.depth(seconds, size=SIZE)),
        Record(COLOR, seconds, robot.color(seconds, picture)),
    ]
