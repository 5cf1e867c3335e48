"""Decay, against a loop that remembers for every cell when a scan last saw it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.sensor_model import log_odds
from cnn_perception.types import RigidTransform
from plain_octomap import PlainTree

SECOND = 1_000_000_000
RESOLUTION = 0.1
LOWEST, HIGHEST = (float(log_odds(p)) for p in (0.1192, 0.971))
PLAIN = MapperConfig(resolution=RESOLUTION, max_range=20.0)


def mapper(**values: float) -> OccupancyMap:
    return OccupancyMap(MapperConfig(resolution=RESOLUTION, max_range=20.0, **values))


def cells(made: OccupancyMap) -> dict[tuple[int, ...], float]:
    finest = made.leaves().finest()
    keys = (tuple(key) for key in finest.keys.tolist())
    return dict(zip(keys, finest.log_odds.tolist(), strict=True))


def look(made: OccupancyMap, seconds: float, *points: tuple[float, float, float]) -> None:
    made.integrate_cloud(
        np.array(points, np.float32).reshape(-1, 3),
        RigidTransform.identity(),
        stamp_ns=round(seconds * SECOND),
    )


def occupied(made: OccupancyMap) -> int:
    return made.statistics().occupied


def test_an_unseen_obstacle_fades_to_unknown_and_free_space_stays() -> None:
    made = mapper(decay_after=2.0, decay_rate=0.4)
    ahead, aside = (1.05, 0.05, 0.05), (-1.05, 0.05, 0.05)
    look(made, 10.0, ahead)
    free = made.statistics().free
    look(made, 11.9, aside)
    assert occupied(made) == 2
    look(made, 13.0, aside)
    [fading] = [v for k, v in cells(made).items() if v >= 0 and k[0] > 32768]
    assert fading == pytest.approx(math.log(0.7 / 0.3) - 0.4 * 1.0, abs=1e-5)
    look(made, 14.2, aside)  # .8473 of log-odds last 2.118 s
    assert [k for k, v in cells(made).items() if v >= 0 and k[0] > 32768] == []
    assert (32778, 32768, 32768) not in cells(made)
    assert made.statistics().free == free + 10
    assert occupied(made) == 1


def test_what_is_seen_again_does_not_fade() -> None:
    made = mapper(decay_after=1.0, decay_rate=10.0)
    for seconds in range(20):
        look(made, float(seconds), (1.05, 0.05, 0.05))
    assert occupied(made) == 1


def test_off_changes_nothing_and_live_changes_take_effect() -> None:
    made = mapper()
    look(made, 0.0, (1.05, 0.05, 0.05))
    look(made, 1000.0, (-1.05, 0.05, 0.05))
    assert occupied(made) == 2
    made.config = MapperConfig(
        resolution=RESOLUTION, max_range=20.0, decay_after=1.0, decay_rate=10.0
    )
    look(made, 1001.0, (-1.05, 0.05, 0.05))
    assert occupied(made) == 2  # it is first met here
    look(made, 1003.0, (-1.05, 0.05, 0.05))
    assert occupied(made) == 1
    made.config = MapperConfig(resolution=RESOLUTION, max_range=20.0)
    look(made, 2003.0, (1.05, 0.05, 0.05))
    assert occupied(made) == 2


def test_cells_of_a_loaded_map_fade_from_when_it_was_loaded(tmp_path: Path) -> None:
    made = mapper(decay_after=2.0, decay_rate=10.0)
    look(made, 0.0, (1.05, 0.05, 0.05))
    made.save(tmp_path / "map.ot")
    look(made, 100.0, (-1.05, 0.05, 0.05))
    made.load(tmp_path / "map.ot")
    look(made, 101.0, (-1.05, 0.05, 0.05))
    look(made, 102.5, (-1.05, 0.05, 0.05))
    assert occupied(made) == 2
    look(made, 104.0, (-1.05, 0.05, 0.05))
    assert occupied(made) == 1


def test_time_going_back_neither_revives_nor_freezes() -> None:
    made = mapper(decay_after=2.0, decay_rate=10.0)
    look(made, 100.0, (1.05, 0.05, 0.05))
    for seconds in (0.0, 1.0, 1.9):
        look(made, seconds, (-1.05, 0.05, 0.05))
        assert occupied(made) == 2
    look(made, 3.0, (-1.05, 0.05, 0.05))
    assert occupied(made) == 1


@pytest.mark.parametrize("window", [0.0, 2.0])
def test_equals_a_loop_over_all_cells(window: float) -> None:
    """Times of seeing come from which cells change in a map without decay."""
    after, rate = 0.5, 0.3
    made = mapper(decay_after=after, decay_rate=rate, local_window=window)
    expected: dict[tuple[int, ...], float] = {}
    last: dict[tuple[int, ...], float] = {}
    rng = np.random.default_rng(1)
    before = 0.0
    for step in range(40):
        now = step * 0.26
        pose = RigidTransform(np.eye(3), rng.uniform(-1, 1, 3))
        points = rng.normal(0, 0.6, (15, 3)).astype(np.float32)
        single = OccupancyMap(PLAIN, PlainTree(RESOLUTION))
        single.integrate_cloud(points, pose)
        for key, change in cells(single).items():
            value = expected.get(key, 0.0) + change
            expected[key] = float(np.clip(value, LOWEST, HIGHEST))
            last[key] = now
        for key, value in list(expected.items()):
            begin = max(last[key] + after, before)
            if value >= 0 and now > begin:
                expected[key] = value - rate * (now - begin)
                if expected[key] <= 0:
                    del expected[key]
        before = now
        made.integrate_cloud(points, pose, stamp_ns=round(now * SECOND))
        actual = cells(made)
        if window:
            keys = np.floor(np.array([pose.translation - 1, pose.translation + 1]) * 10) + 32768
            blocks = keys.astype(int) >> 3
            expected = {
                key: value
                for key, value in expected.items()
                if all(blocks[0][i] <= key[i] >> 3 <= blocks[1][i] for i in range(3))
            }
        assert actual.keys() == expected.keys()
        assert all(actual[key] == pytest.approx(expected[key], abs=2e-3) for key in actual)
    assert len(expected) > 100


def test_another_engine_refuses() -> None:
    config = MapperConfig(resolution=RESOLUTION, decay_after=1.0)
    with pytest.raises(ConfigError, match="decay_after = 1 needs the engine voxel"):
        OccupancyMap(config, PlainTree(RESOLUTION))
    made = OccupancyMap(PLAIN, PlainTree(RESOLUTION))
    with pytest.raises(ConfigError, match="decay_after = 1 needs the engine voxel"):
        made.config = dataclasses.replace(PLAIN, decay_after=1.0)
    assert made.config == PLAIN
