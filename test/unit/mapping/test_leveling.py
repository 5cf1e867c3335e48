"""Finding the vertical in points."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.mapping.leveling import estimate_up, level
from cnn_perception.types import Float32Array


def room(seed: int, floor_share: float = 0.5) -> Float32Array:
    """A floor, a table top, two walls and clutter, z up, with a centimetre of noise."""
    rng = np.random.default_rng(seed)
    count = 6000
    points = rng.uniform([0, 0, 0], [4, 3, 2.5], (count, 3))
    kind = rng.random(count)
    points[kind < floor_share, 2] = 0.0
    table = (kind >= floor_share) & (kind < floor_share + 0.1)
    points[table] = points[table] * [0.3, 0.3, 0.0] + [1, 1, 0.74]
    points[(kind > 0.75) & (kind < 0.87), 0] = 0.0
    points[kind >= 0.87, 1] = 0.0
    return (points + rng.normal(0, 0.01, points.shape)).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("degrees", [0.0, 12.0, 30.0])
def test_finds_the_tilt_of_a_room(seed: int, degrees: float) -> None:
    rng = np.random.default_rng(100 + seed)
    heading, tilt = rng.uniform(0, 2 * np.pi), np.radians(degrees)
    up = np.array([np.sin(tilt) * np.cos(heading), np.sin(tilt) * np.sin(heading), np.cos(tilt)])
    tilted = level(up).inverse().apply(room(seed))
    found = estimate_up(tilted, np.array([0.0, 0.0, 1.0]))
    assert np.degrees(np.arccos(np.clip(found @ up, -1, 1))) < 0.5


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0.6, 0, 0.8), (0, -0.8, -0.6)])
def test_leveling_turns_up_to_z(up: tuple[float, float, float]) -> None:
    turned = level(np.array(up))
    np.testing.assert_allclose(turned.rotation @ np.array(up), [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turned.rotation @ turned.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turned.rotation) == pytest.approx(1.0)
