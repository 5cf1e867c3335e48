"""The frames of a folder, in a map with z up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.recording.folder_scans import FolderScans
from cnn_perception.recording.rgbd_folder import RgbdFolder


def test_a_folder_is_leveled(shared_data: Path) -> None:
    folder = RgbdFolder(shared_data / "data" / "kitchen_rgbd")
    scans = FolderScans(folder)
    assert len(scans) == 40
    # The camera looks down by about 27 degrees; the floor must come out flat all the same.
    up = scans.map_from_world.rotation.T @ [0, 0, 1]
    assert np.degrees(np.arccos(-up[1])) == pytest.approx(27.0, abs=1.0)
    plain = FolderScans(folder, leveled=False)
    assert plain.map_from_world.rotation[2].tolist() == [0.0, -1.0, 0.0]
    first = next(iter(plain))
    assert first.depth.shape == (480, 640)
    assert first.map_from_sensor.translation.tolist() == pytest.approx(
        [0.297, 0.340, -0.016], abs=1e-2
    )
