"""Folders of RGB-D frames: layout, units, damage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.errors import BagError
from cnn_perception.recording.rgbd_folder import RgbdFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savetxt(
        tmp_path / "camera-intrinsics.txt", np.array([[20, 0, 7.5], [0, 21, 5.5], [0, 0, 1]])
    )
    for number in (10, 2):
        stem = tmp_path / f"frame-{number:06d}"
        depth = np.full((12, 16), 1000 + number, np.uint16)
        depth[0, 0], depth[0, 1] = 0, 65535
        cv2.imwrite(f"{stem}.depth.png", depth)
        pose = np.eye(4)
        pose[0, 3] = number
        np.savetxt(f"{stem}.pose.txt", pose)
    red = np.zeros((12, 16, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "frame-000002.color.png"), red)
    return tmp_path


def test_frames_come_in_order_with_metres_and_poses(folder: Path) -> None:
    opened = RgbdFolder(folder)
    assert len(opened) == 2
    assert (opened.intrinsics.width, opened.intrinsics.height) == (16, 12)
    assert (opened.intrinsics.fx, opened.intrinsics.cy) == (20.0, 5.5)
    first, second = opened
    assert (first.name, second.name) == ("frame-000002", "frame-000010")
    assert first.depth.dtype == np.float32
    assert np.isnan(first.depth[0, :2]).all()
    assert first.depth[5, 5] == pytest.approx(1.002)
    assert second.world_from_camera.translation.tolist() == [10.0, 0.0, 0.0]
    color = first.color()
    assert color is not None
    assert color[0, 0].tolist() == [255, 0, 0]
    assert second.color() is None


def test_a_frame_without_pose_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.savetxt(folder / "frame-000002.pose.txt", np.full((4, 4), -np.inf))
    assert [frame.name for frame in RgbdFolder(folder)] == ["frame-000010"]
    assert "frame-000002 has no finite pose" in caplog.text


def test_recognises_its_layout(folder: Path, tmp_path: Path) -> None:
    assert RgbdFolder.recognises(folder)
    (tmp_path / "other").mkdir()
    assert not RgbdFolder.recognises(tmp_path / "other")
    assert not RgbdFolder.recognises(folder / "camera-intrinsics.txt")


def test_damage_is_named(folder: Path) -> None:
    with pytest.raises(BagError, match="is no folder"):
        RgbdFolder(folder / "none")
    (folder / "frame-000010.pose.txt").write_text("1 2 3\n")
    with pytest.raises(BagError, match=r"frame-000010.pose.txt holds \(3,\) numbers: .* 4 x 4"):
        list(RgbdFolder(folder))
    (folder / "frame-000010.pose.txt").unlink()
    with pytest.raises(BagError, match=r"cannot read .*frame-000010.pose.txt"):
        list(RgbdFolder(folder))
    (folder / "frame-000002.depth.png").write_bytes(b"no picture")
    with pytest.raises(BagError, match=r"frame-000002.depth.png: expected a PNG with 16-bit"):
        RgbdFolder(folder)
    for file in folder.glob("*.depth.png"):
        file.unlink()
    with pytest.raises(BagError, match=r"has no frame-N\.depth\.png"):
        RgbdFolder(folder)


def test_real_frames(shared_data: Path) -> None:
    opened = RgbdFolder(shared_data / "data" / "kitchen_rgbd")
    assert len(opened) == 40
    frame = next(iter(opened))
    assert 0.5 < float(np.nanmin(frame.depth)) < float(np.nanmax(frame.depth)) < 5.0
    rotation = frame.world_from_camera.rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
