"""A saved map is drawn as it lies in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.pictures.map_file import map_pictures
from cnn_perception.mapping.pictures.views import render_isometric, render_top
from cnn_perception.types import RigidTransform

NOWHERE = np.zeros((0, 3), np.float32)


def test_both_views_of_a_file(tmp_path: Path) -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.25, engine="octomap"))
    wall = np.array([[2.0, y / 4, z / 4] for y in range(-4, 5) for z in range(5)], np.float32)
    mapper.integrate_cloud(wall, RigidTransform(np.eye(3), np.zeros(3)))
    mapper.save(tmp_path / "map.bt")
    path = np.array([[0.0, 0.0, 1.5], [1.0, 0.0, 1.5]], np.float32)
    pictures = map_pictures(tmp_path / "map.bt", path)
    occupied, free = mapper.occupied_cells(), mapper.free_cells()
    isometric = render_isometric(occupied, camera_path=path)
    assert (pictures["isometric"] == isometric).all()
    assert (pictures["top"] == render_top(occupied, free, camera_path=path)).all()
    assert (map_pictures(tmp_path / "map.bt", NOWHERE)["isometric"] != isometric).any()


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "map.bt").write_bytes(b"no map")
    with pytest.raises(MapError):
        map_pictures(tmp_path / "map.bt", NOWHERE)
