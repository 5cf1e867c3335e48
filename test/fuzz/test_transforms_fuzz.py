"""TransformBuffer against the obvious computation: random trees, chains of 4x4 matrices."""

from __future__ import annotations

import contextlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_perception.errors import MessageError, TransformError
from cnn_perception.mapping.transforms import TransformBuffer, interpolate
from cnn_perception.types import Float64Array, RigidTransform, StampedTransform

MILLISECOND = 1_000_000
SPAN = 1000 * MILLISECOND


def random_pose(rng: np.random.Generator) -> RigidTransform:
    x, y, z, w = (float(v) for v in rng.normal(size=4))
    tx, ty, tz = (float(v) for v in rng.uniform(-5, 5, 3))
    return RigidTransform.from_quaternion((tx, ty, tz), (x, y, z, w))


def matrix(pose: RigidTransform) -> Float64Array:
    full = np.eye(4)
    full[:3, :3], full[:3, 3] = pose.rotation, pose.translation
    return full


def rotation_power(rotation: Float64Array, fraction: float) -> Float64Array:
    """Rotation by a part of the angle about the same axis (Rodrigues), without quaternions."""
    cosine = np.clip((np.trace(rotation) - 1) / 2, -1.0, 1.0)
    angle = np.arccos(cosine)
    skew = (rotation - rotation.T) / (2 * np.sin(angle))
    part = fraction * angle
    return np.asarray(np.eye(3) + np.sin(part) * skew + (1 - np.cos(part)) * skew @ skew)


@given(seed=st.integers(0, 2**32 - 1), frames=st.integers(2, 9), at=st.integers(0, SPAN))
@settings(max_examples=150, deadline=None)
def test_equals_the_product_of_matrices(seed: int, frames: int, at: int) -> None:
    rng = np.random.default_rng(seed)
    buffer = TransformBuffer()
    root_from: list[Float64Array] = [np.eye(4)]
    arrivals: list[tuple[StampedTransform, bool]] = []
    for child in range(1, frames):
        parent = int(rng.integers(child))
        first, second = random_pose(rng), random_pose(rng)
        static = bool(rng.random() < 0.3)
        names = (f"f{parent}", f"f{child}")
        if static:
            arrivals.append((StampedTransform(*names, 0, first), True))
            here = matrix(first)
        else:
            arrivals += [
                (StampedTransform(*names, t, p), False) for t, p in ((0, first), (SPAN, second))
            ]
            here = matrix(first) + (at / SPAN) * (matrix(second) - matrix(first))
            turned = rotation_power(first.rotation.T @ second.rotation, at / SPAN)
            here[:3, :3] = first.rotation @ turned
        root_from.append(root_from[parent] @ here)
    for index in rng.permutation(len(arrivals)):
        transform, static = arrivals[index]
        buffer.add(transform, static=static)
    target, source = (int(v) for v in rng.integers(frames, size=2))
    found = buffer.lookup(f"f{target}", f"f{source}", at)
    expected = np.linalg.inv(root_from[target]) @ root_from[source]
    np.testing.assert_allclose(matrix(found), expected, atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), fraction=st.floats(0.0, 1.0))
@settings(max_examples=150, deadline=None)
def test_slerp_equals_the_axis_and_angle_form(seed: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = random_pose(rng), random_pose(rng)
    expected = first.rotation @ rotation_power(first.rotation.T @ second.rotation, fraction)
    np.testing.assert_allclose(interpolate(first, second, fraction).rotation, expected, atol=1e-6)


FRAMES = st.sampled_from(["map", "/map", "odom", "base", "camera", ""])
TIMES = st.integers(0, 40_000).map(lambda ms: ms * MILLISECOND)


@given(
    arrivals=st.lists(st.tuples(FRAMES, FRAMES, TIMES, st.booleans()), max_size=40),
    questions=st.lists(st.tuples(FRAMES, FRAMES, TIMES), max_size=10),
)
@settings(max_examples=200, deadline=None)
def test_any_stream_gives_a_pose_or_a_known_error(
    arrivals: list[tuple[str, str, int, bool]], questions: list[tuple[str, str, int]]
) -> None:
    rng = np.random.default_rng(1)
    buffer = TransformBuffer()
    for parent, child, stamp, static in arrivals:
        with contextlib.suppress(MessageError):
            buffer.add(StampedTransform(parent, child, stamp, random_pose(rng)), static=static)
    for target, source, stamp in questions:
        try:
            there = buffer.lookup(target, source, stamp)
        except TransformError:
            continue
        back = buffer.lookup(source, target, stamp)
        np.testing.assert_allclose(matrix(there) @ matrix(back), np.eye(4), atol=1e-6)
