"""The mapping benchmark compares before it times, and finds what differs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("octomap", reason="octomap-python is not installed")

from cnn_perception.config import MapperConfig
from cnn_perception.errors import BagError
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.offboard.benchmarks.contenders import (
    OctomapCpp,
    OctomapPython,
    VoxelClouds,
    VoxelDepth,
    build_octomap_cpp,
)
from cnn_perception.offboard.benchmarks.frames import BenchmarkFrame, read_frames
from cnn_perception.offboard.benchmarks.mapping import MODES, differences, measure
from cnn_perception.recording.bag import BagWriter
from painted_drive import write_drive

CONFIG = MapperConfig(resolution=0.1, max_range=2.3)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[BenchmarkFrame]:
    """Two views of a wall, a part of it out of range."""
    return read_frames(write_drive(tmp_path_factory.mktemp("drive") / "bag"), 2)


def test_frames_are_spread_and_come_with_their_points(frames: list[BenchmarkFrame]) -> None:
    assert [frame.origin[0] for frame in frames] == pytest.approx([0.0, 0.2])
    assert all(frame.points.shape == (160 * 120, 3) for frame in frames)
    # The wall is two metres ahead of the camera.
    for frame in frames:
        assert np.allclose(frame.points[:, 0], frame.origin[0] + 2.0, atol=1e-5)


def test_a_recording_without_depth_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/camera/depth", "sensor_msgs/msg/Image")
    with pytest.raises(BagError):
        read_frames(tmp_path / "bag", 3)


@pytest.mark.parametrize("mode", MODES)
def test_contenders_agree_and_are_timed(frames: list[BenchmarkFrame], mode: str) -> None:
    seen: list[str] = []
    result, lacking = measure(frames, CONFIG, mode, 2, lambda text, done, total: seen.append(text))
    assert result["equal"] and json.loads(json.dumps(result)) == result
    assert result["known_cells"] > result["occupied_cells"] > 0
    contenders = result["contenders"]
    names = ["voxel", "voxel, clouds", "octomap-python"] + ["OctoMap C++"] * (not lacking)
    assert list(contenders) == names
    for each in contenders.values():
        assert np.shape(each["samples"]["cpu_ms"]) == (2, 2)
        assert each["wall_ms"]["min"] > 0
        assert each["memory_bytes"] > 0
    assert contenders["octomap-python"]["times_faster"] == 1.0
    assert seen.index("timing") == len(frames)


@pytest.mark.parametrize("kind", [VoxelDepth, VoxelClouds])
def test_another_map_is_found_out(
    frames: list[BenchmarkFrame], kind: type[VoxelDepth | VoxelClouds]
) -> None:
    ours, theirs = kind(replace(CONFIG, probability_hit=0.71)), OctomapPython(CONFIG)
    for contender in (ours, theirs):
        contender.insert(frames[0])
    occupied = theirs.leaves().select(theirs.leaves().occupied)
    # Each hit weighs more: every occupied cell differs, and nothing else.
    assert differences(ours.leaves(), theirs.leaves()) == (occupied.spans**3).sum() > 0


def test_differences_are_counted_cell_by_cell(frames: list[BenchmarkFrame]) -> None:
    tree = OctomapPython(CONFIG)
    tree.insert(frames[0])
    leaves = tree.leaves()
    assert differences(leaves, leaves) == 0
    total = int((leaves.spans**3).sum())
    assert differences(leaves, Leaves.empty()) == total
    without = leaves.select(np.arange(len(leaves)) != 0)
    assert differences(leaves, without) == leaves.spans[0] ** 3
    # One cell of a leaf that is larger.
    corner = leaves.keys[int(np.argmax(leaves.spans))].astype(np.int64)
    made = OccupancyMap(CONFIG)
    with made.blocks() as store:
        store.restore(leaves)
        store.fill_box(corner, corner, 0.125)
    assert differences(leaves, made.leaves()) == 1
    # Equal numbers, other bits.
    zero = replace(leaves, log_odds=np.zeros_like(leaves.log_odds))
    assert differences(zero, replace(zero, log_odds=-zero.log_odds)) == total


@pytest.mark.parametrize("discretize", MODES.values())
def test_the_cpp_contender_makes_the_same_map(
    frames: list[BenchmarkFrame], tmp_path: Path, discretize: bool
) -> None:
    program = build_octomap_cpp(tmp_path)
    if isinstance(program, str):
        pytest.skip(program)
    config = replace(CONFIG, discretize=discretize)
    ours, theirs = OctomapCpp(config, program), OctomapPython(config)
    try:
        for _ in range(2):  # the second time after clear()
            for contender in (ours, theirs):
                contender.clear()
                contender.insert(frames[0])
            assert differences(ours.leaves(), theirs.leaves()) == 0
            assert ours.memory_bytes() == theirs.memory_bytes()
            # Nodes are smaller than what malloc gives for them, but not by much.
            assert 1.2 < (ours.heap_bytes() or 0) / ours.memory_bytes() < 3
    finally:
        ours.close()


def test_why_there_is_no_cpp_contender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "g++ cannot be run" in str(build_octomap_cpp(tmp_path))
