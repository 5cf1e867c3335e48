"""Map files are written whole or not at all, and read by what they hold."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.files.storage import load_map, save_map
from cnn_perception.mapping.leaves import Leaves
from plain_streams import encode_binary, encode_full

LEAVES = Leaves(
    np.full((1, 3), 32768, np.uint16), np.full(1, 16, np.uint8), np.full(1, 0.25, np.float32)
)
SUFFIXES = [".bt", ".ot", ".vox"]


def encode(binary: bool) -> bytes:
    return (encode_binary if binary else encode_full)(LEAVES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_map_survives_the_disk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    save_map(encode, 0.05, path, {"robot": "tidy"})
    loaded = load_map(path, occupied=3.5)
    assert loaded.resolution == 0.05
    assert loaded.kind == suffix
    assert loaded.binary is (suffix == ".bt")
    assert loaded.leaves.log_odds.tolist() == [3.5 if loaded.binary else 0.25]
    assert loaded.notes == ({"robot": "tidy"} if suffix == ".vox" else {})
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_read_by_its_content(tmp_path: Path, suffix: str) -> None:
    save_map(encode, 0.05, tmp_path / f"map{suffix}")
    renamed = (tmp_path / f"map{suffix}").rename(tmp_path / "map.dat")
    assert load_map(renamed).kind == suffix


@pytest.mark.parametrize("name", ["map.pcd", "map", "map.BT"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MapError, match=rf"{name}: its name must end in \.bt, \.ot or \.vox"):
        save_map(encode, 0.05, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "map.bt"
    with pytest.raises(MapError, match=r"none/map.bt: No such file or directory"):
        save_map(encode, 0.05, path)


def test_a_failed_write_leaves_the_old_map_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "map.bt"
    save_map(encode, 0.05, path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(MapError, match="No space left on device"):
        save_map(lambda _: b"", 0.05, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "map.bt"
    path.write_bytes(b"not a map")
    with pytest.raises(MapError, match=r"cannot read the map .*map.bt: a map file starts with"):
        load_map(path)
    with pytest.raises(MapError, match=r"other.bt: No such file"):
        load_map(tmp_path / "other.bt")
