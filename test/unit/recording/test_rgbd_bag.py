"""An RGB-D folder becomes a bag with the same pictures, depths and poses, upright."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.errors import BagError
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.messages.decode import decode_color
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.bag_scans import BagScans
from cnn_perception.recording.folder_scans import FolderScans
from cnn_perception.recording.rgbd_bag import START_NS, record_rgbd_folder
from cnn_perception.recording.rgbd_folder import RgbdFolder
from cnn_perception.recording.streams import ScanStream, camera_streams


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three frames over a floor: the camera is 1.5 m above it, pitched down, and moves ahead."""
    path = tmp_path / "frames"
    path.mkdir()
    rows, columns = np.indices((60, 80))
    np.savetxt(path / "camera-intrinsics.txt", [[70.0, 0, 39.5], [0, 70.0, 29.5], [0, 0, 1]])
    pitch = np.radians(30.0)
    down = ((rows - 29.5) / 70.0) * np.cos(pitch) + np.sin(pitch)
    depth = np.where(down > 0.2, 1.5 / np.maximum(down, 0.2), 0.0)
    for index in range(3):
        stem = path / f"frame-{index:06d}"
        cv2.imwrite(f"{stem}.depth.png", np.round(depth * 1000).astype(np.uint16))
        picture = np.stack([rows * 4, columns * 3, np.full_like(rows, 50 * index)], axis=-1)
        cv2.imwrite(f"{stem}.color.png", picture.astype(np.uint8))
        pose = np.eye(4)
        pose[2, 3] = 0.1 * index
        np.savetxt(f"{stem}.pose.txt", pose)
    return path


def test_frames_come_back_as_scans(folder: Path, tmp_path: Path) -> None:
    assert record_rgbd_folder(RgbdFolder(folder), tmp_path / "bag", rate=5.0) == 3
    with BagReader(tmp_path / "bag") as bag:
        streams = camera_streams(bag)
        replayed = list(BagScans(bag, [ScanStream(streams.depth, streams.camera_info)], "map"))
        colors = [decode_color(record.message) for record in bag.messages([streams.color])]
        assert (bag.start_ns, bag.end_ns) == (START_NS, START_NS + 400_000_000)
    original = list(FolderScans(RgbdFolder(folder)))
    assert len(replayed) == len(original) == 3
    for mine, theirs in zip(replayed, original, strict=True):
        np.testing.assert_allclose(mine.depth, theirs.depth, rtol=1e-6)
        assert mine.intrinsics == theirs.intrinsics
        for part in ("rotation", "translation"):
            np.testing.assert_allclose(
                getattr(mine.map_from_sensor, part),
                getattr(theirs.map_from_sensor, part),
                atol=1e-9,
            )
    expected = [frame.color() for frame in RgbdFolder(folder)]
    np.testing.assert_array_equal(np.stack(colors), np.stack(expected))


def test_the_map_is_upright(folder: Path, tmp_path: Path) -> None:
    record_rgbd_folder(RgbdFolder(folder), tmp_path / "bag")
    with BagReader(tmp_path / "bag") as bag:
        stream = ScanStream("/camera/depth/image_raw", "/camera/depth/camera_info")
        scan = next(iter(BagScans(bag, [stream], "map")))
    assert isinstance(scan, DepthScan)
    points = scan.map_from_sensor.apply(depth_to_points(scan.depth, scan.intrinsics))
    assert len(points) > 1000
    assert np.ptp(points[:, 2]) < 0.03
    assert points[:, 2].mean() == pytest.approx(-1.5, abs=0.02)


def test_equal_folders_give_equal_bags(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        record_rgbd_folder(RgbdFolder(folder), tmp_path / name / "bag")
    first, second = ((tmp_path / name / "bag" / "bag.mcap").read_bytes() for name in ("a", "b"))
    assert first == second


def test_senseless_rate_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BagError, match="0 frames per second"):
        record_rgbd_folder(RgbdFolder(folder), tmp_path / "bag", rate=0.0)
