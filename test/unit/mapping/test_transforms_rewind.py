"""Time that went back: transforms from the future are forgotten, the rest is kept."""

from __future__ import annotations

import pytest

from cnn_perception.errors import TransformError
from cnn_perception.mapping.transforms import SECOND_NS, TransformBuffer
from cnn_perception.types import RigidTransform, StampedTransform


def moved(child: str, seconds: float, x: float, parent: str = "map") -> StampedTransform:
    pose = RigidTransform.from_quaternion((x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    return StampedTransform(parent, child, round(seconds * SECOND_NS), pose)


def test_rewind_forgets_the_future_so_that_a_lookup_waits_for_the_new_time() -> None:
    buffer = TransformBuffer()
    buffer.add(moved("base", 0.0, 9.0), static=True)
    for second in range(20, 30):
        buffer.add(moved("camera", second, second, "base"))
    with pytest.raises(TransformError) as before:
        buffer.lookup("map", "camera", SECOND_NS)
    assert not before.value.retriable
    buffer.rewind(SECOND_NS)
    with pytest.raises(TransformError) as after:
        buffer.lookup("map", "camera", SECOND_NS)
    assert after.value.retriable
    assert buffer.lookup("map", "base", SECOND_NS).translation[0] == 9.0


def test_rewind_keeps_what_the_new_time_already_brought() -> None:
    buffer = TransformBuffer(jump_ns=SECOND_NS // 10)
    buffer.add(moved("camera", 12.0, 12.0))
    for seconds in (1.0, 1.1):
        buffer.add(moved("camera", seconds, seconds))
    buffer.rewind(SECOND_NS)
    assert buffer.lookup("map", "camera", round(1.05e9)).translation[0] == pytest.approx(1.05)
