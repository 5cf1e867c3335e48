"""``cnn-perception map`` and ``map-info``, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cnn_perception.cli import map as map_command
from cnn_perception.cli import map_info
from cnn_perception.errors import BagError, MapError

pytest.importorskip("octomap", reason="octomap-python is not installed")

app = typer.Typer()
app.command("map")(map_command.command)
app.command("map-info")(map_info.command)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three views of a wall two metres ahead, the camera moving sideways."""
    made = tmp_path / "room"
    made.mkdir()
    np.savetxt(made / "camera-intrinsics.txt", np.array([[40, 0, 31.5], [0, 40, 23.5], [0, 0, 1]]))
    for number in range(3):
        cv2.imwrite(str(made / f"frame-{number:06d}.depth.png"), np.full((48, 64), 2000, np.uint16))
        pose = np.eye(4)
        pose[0, 3] = 0.2 * number
        np.savetxt(made / f"frame-{number:06d}.pose.txt", pose)
    return made


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("suffix", [".bt", ".ot"])
def test_a_folder_becomes_a_map_with_pictures(folder: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "maps" / f"wall{suffix}"
    printed = json.loads(
        run("map", folder, "--out", out, "--resolution", 0.1, "--no-level", "--json")
    )
    assert printed["images"] == 3
    assert printed["skipped"] == {}
    assert sorted(Path(file).name for file in printed["files"]) == [
        f"wall{suffix}",
        "wall_isometric.png",
        "wall_top.png",
    ]
    for name in ("wall_isometric.png", "wall_top.png"):
        picture = cv2.imread(str(out.with_name(name)))
        assert picture is not None
        assert picture.shape == (960, 1280, 3)
    facts = json.loads(run("map-info", out, "--json"))
    assert facts["resolution"] == 0.1
    assert facts["occupied_cells"] == printed["occupied_cells"] > 0
    assert facts["free_cells"] == printed["free_cells"] > 0
    # The wall is two metres ahead, and ahead is +x of the map.
    assert facts["upper_corner"][0] == pytest.approx(2.1, abs=0.11)


def test_every_nth_image_and_no_pictures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "wall.bt"
    printed = run("map", folder, "--out", out, "--every", 2, "--no-pictures", "--no-level")
    assert "2 images mapped" in printed
    assert [file.name for file in tmp_path.glob("wall*")] == ["wall.bt"]


def test_info_reads_as_a_table(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "wall.bt"
    run("map", folder, "--out", out, "--no-pictures", "--no-level")
    lines = run("map-info", out).splitlines()
    assert lines[0].split(maxsplit=1) == ["kind", "binary (.bt)"]
    assert lines[1].split() == ["resolution", "0.05"]


def test_a_wrong_suffix_is_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"must end in .bt or .ot"):
        run("map", folder, "--out", tmp_path / "map.pcd")


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"no bag at .*nothing"):
        run("map", tmp_path / "nothing")
    with pytest.raises(MapError, match=r"cannot read the map .*none.bt"):
        run("map-info", tmp_path / "none.bt")


def test_a_folder_without_usable_images_says_so(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*.pose.txt"):
        np.savetxt(file, np.full((4, 4), np.nan))
    with pytest.raises(MapError, match=r"no image of .* could be mapped"):
        run("map", folder, "--out", tmp_path / "map.bt")
