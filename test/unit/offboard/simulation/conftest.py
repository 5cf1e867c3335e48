"""Rooms to render, where MuJoCo and OpenGL are present."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.simulation.config import SimulationConfig
from cnn_perception.offboard.simulation.room import Room

SMALL = SimulationConfig(width=160, height=120, shadow_size=256, samples=0)


def _room_or_skip(seed: int) -> Room:
    try:
        return Room(seed, SMALL)
    except PerceptionError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def make_room() -> Callable[[int], Room]:
    """Makes the small room of a seed; skips the test where it cannot be rendered."""
    return _room_or_skip


@pytest.fixture(scope="session")
def room() -> Iterator[Room]:
    """One small room for all tests that only look at it."""
    with _room_or_skip(21) as made:
        yield made
