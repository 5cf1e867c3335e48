"""Map files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.storage import load_map, save_map

LEAVES = Leaves(
    np.full((1, 3), 32768, np.uint16), np.full(1, 16, np.uint8), np.full(1, 0.25, np.float32)
)


@pytest.mark.parametrize("suffix", [".bt", ".ot"])
def test_a_map_survives_the_disk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    save_map(LEAVES, 0.05, path)
    loaded = load_map(path, occupied=3.5)
    assert loaded.resolution == 0.05
    assert loaded.binary is (suffix == ".bt")
    assert loaded.leaves.log_odds.tolist() == [3.5 if loaded.binary else 0.25]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["map.pcd", "map", "map.BT"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MapError, match=f"{name}: its name must end in .bt or .ot"):
        save_map(LEAVES, 0.05, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "map.bt"
    with pytest.raises(MapError, match=r"none/map.bt: No such file or directory"):
        save_map(LEAVES, 0.05, path)


def test_a_failed_write_leaves_the_old_map_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "map.bt"
    save_map(LEAVES, 0.05, path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(MapError, match="No space left on device"):
        save_map(Leaves.empty(), 0.05, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "map.bt"
    path.write_bytes(b"not a map")
    with pytest.raises(MapError, match=r"cannot read the map .*map.bt: a map file starts with"):
        load_map(path)
    with pytest.raises(MapError, match=r"other.bt: No such file"):
        load_map(tmp_path / "other.bt")
