"""``cnn-perception map`` and ``map info``, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cnn_perception.cli.main import app
from cnn_perception.config import MapperConfig
from cnn_perception.errors import BagError, MapError
from cnn_perception.mapping.files.color_codec import NO_COLOR, ColoredLeaves
from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.recording.bag import BagWriter
from cnn_perception.recording.compose import encode
from cnn_perception.settings import settings
from cnn_perception.types import (
    CameraIntrinsics,
    Header,
    RigidTransform,
    StampedTransform,
)
from painted_drive import START_NS, write_drive
from pruned_leaves import encode_color_file

pytest.importorskip("octomap", reason="octomap-python is not installed")

PLAIN = ["--no-pictures", "--no-level"]


def settings_of_engine() -> tuple[str, ...]:
    return next(known.choices or () for known in settings(MapperConfig) if known.name == "engine")


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
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, words, prog_name="cnn-perception")
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
    assert printed["scans"] == 3
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
    facts = json.loads(run("map", "info", out, "--json"))
    assert facts["resolution"] == 0.1
    assert facts["occupied_cells"] == printed["occupied_cells"] > 0
    assert facts["free_cells"] == printed["free_cells"] > 0
    # The wall is two metres ahead, and ahead is +x of the map.
    assert facts["upper_corner"][0] == pytest.approx(2.1, abs=0.11)


def test_every_nth_image_and_no_pictures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "wall.bt"
    printed = run("map", folder, "--out", out, "--every", 2, "--no-pictures", "--no-level")
    assert "2 scans mapped" in printed
    assert [file.name for file in tmp_path.glob("wall*")] == ["wall.bt"]


def test_info_reads_as_a_table(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "wall.bt"
    run("map", folder, "--out", out, "--no-pictures", "--no-level")
    facts = json.loads(run("map", "info", out, "--json"))
    lines = dict(line.split(maxsplit=1) for line in run("map", "info", out).splitlines())
    assert lines["kind"] == "binary OcTree (.bt)"
    assert lines["resolution"] == "0.05 m"
    assert lines["occupied"].startswith(f"{facts['occupied_cells']} cells, ")
    assert facts["occupied_volume"] == pytest.approx(facts["occupied_cells"] * 0.05**3, abs=1e-6)
    assert lines["file"] == f"size      {out.stat().st_size} bytes"
    # A wall of 3.2 x 2.4 m, seen from 2 m away while moving by 0.4 m.
    assert facts["extent"] == pytest.approx([2.05, 3.6, 2.4], abs=0.15)


def test_an_empty_map_has_facts_too(tmp_path: Path) -> None:
    out = tmp_path / "nothing.ot"
    OccupancyMap(MapperConfig(resolution=0.2)).save(out)
    facts = json.loads(run("map", "info", out, "--json"))
    assert (facts["leaves"], facts["occupied_cells"], facts["free_cells"]) == (0, 0, 0)
    assert facts["extent"] == [0.0, 0.0, 0.0]
    assert "0 x 0 x 0 m" in run("map", "info", out)


def test_a_map_with_colors_has_them_counted(tmp_path: Path) -> None:
    # Far apart, so that nothing is joined: one red, one blue, one without color.
    keys = np.array([[0, 0, 0], [4, 0, 0], [8, 0, 0]], np.uint16) + np.uint16(KEY_ORIGIN)
    values = np.array([1.5, -1.0, 1.5], np.float32)
    leaves = sort_leaves(Leaves(keys, np.full(3, TREE_DEPTH, np.uint8), values))
    colors = np.array([[200, 0, 0], [0, 0, 200], NO_COLOR], np.uint8)
    out = tmp_path / "colors.ot"
    out.write_bytes(encode_color_file(ColoredLeaves(leaves, colors), 0.5))
    facts = json.loads(run("map", "info", out, "--json"))
    assert facts["kind"] == "full ColorOcTree (.ot)"
    assert (facts["occupied_cells"], facts["free_cells"]) == (2, 1)
    assert (facts["colored_cells"], facts["colors"]) == (2, 2)
    assert facts["extent"] == [4.5, 0.5, 0.5]
    assert "colored        2 cells, in 2 colors" in run("map", "info", out)
    out.write_bytes(out.read_bytes()[:-1])
    with pytest.raises(MapError, match=r"cannot read the map .*colors.ot: color map data have"):
        run("map", "info", out)


@pytest.mark.parametrize("mode", [[], ["--discretize"]])
def test_engines_write_equal_files(folder: Path, tmp_path: Path, mode: list[str]) -> None:
    for engine in settings_of_engine():
        run("map", folder, "--out", tmp_path / f"{engine}.ot", "--engine", engine, *PLAIN, *mode)
    written = {(tmp_path / f"{engine}.ot").read_bytes() for engine in settings_of_engine()}
    assert len(written) == 1


def test_the_help_names_both_commands() -> None:
    for arguments in (["map", "--help"], ["map", "info", "--help"]):
        printed = run(*arguments)
        assert f"cnn-perception {' '.join(arguments[:-1])} [OPTIONS]" in printed
    assert "map info FILE" in run("map", "--help")
    # A typing error is told under the name that was typed.
    result = CliRunner().invoke(app, ["map", "--resolutoin", "1"], prog_name="cnn-perception")
    assert result.exit_code == 2
    assert "cnn-perception map --help" in result.output


def test_a_bag_of_depth_images_becomes_a_map(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "drive")
    printed = json.loads(run("map", bag, "--out", tmp_path / "a.bt", "--no-pictures", "--json"))
    assert (printed["scans"], printed["skipped"]) == (20, {})
    assert printed["points"] == {"used": 20 * 160 * 120, "not_finite": 0, "outside": 0}
    facts = json.loads(run("map", "info", tmp_path / "a.bt", "--json"))
    # The wall is two metres ahead of a camera that moves by 0.38 m.
    assert facts["upper_corner"][0] == pytest.approx(2.4, abs=0.06)


def test_a_bag_of_clouds_becomes_the_same_map(tmp_path: Path) -> None:
    """The cloud holds the points of the depth image, so cells and log-odds must be those of it."""
    camera = CameraIntrinsics(16, 12, 13.0, 13.0, 7.5, 5.5)
    depth = np.full((12, 16), 2000, np.uint16)
    points = depth_to_points(depth * np.float32(0.001), camera)
    header = encode.header(Header(START_NS, "sensor"))
    tf = encode.transforms(StampedTransform("map", "sensor", START_NS, RigidTransform.identity()))
    with BagWriter(tmp_path / "bag") as bag:
        for topic, message in (
            ("/tf_static", tf),
            ("/camera/camera_info", encode.camera_info(header, camera)),
            ("/camera/depth", encode.depth_image(header, depth)),
            ("/lidar", encode.point_cloud(header, points)),
        ):
            bag.write(topic, message.__msgtype__, message, START_NS)
    source = tmp_path / "bag"
    run("map", source, "--out", tmp_path / "depth.ot", "--no-pictures")
    run("map", source, "--out", tmp_path / "cloud.ot", "--no-pictures", "--cloud-topic", "/lidar")
    assert (tmp_path / "depth.ot").read_bytes() == (tmp_path / "cloud.ot").read_bytes()
    with pytest.raises(BagError, match=r"no topic '/lidra': did you mean /lidar"):
        run("map", source, "--out", tmp_path / "a.bt", "--cloud-topic", "/lidra")


def test_a_wrong_suffix_is_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"must end in .bt, .ot or .vox"):
        run("map", folder, "--out", tmp_path / "map.pcd")


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"no bag at .*nothing"):
        run("map", tmp_path / "nothing")
    with pytest.raises(MapError, match=r"cannot read the map .*none.bt"):
        run("map", "info", tmp_path / "none.bt")


def test_a_folder_without_usable_images_says_so(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*.pose.txt"):
        np.savetxt(file, np.full((4, 4), np.nan))
    with pytest.raises(MapError, match=r"no scan of .* could be mapped"):
        run("map", folder, "--out", tmp_path / "map.bt")
