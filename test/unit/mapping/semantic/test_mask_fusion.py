"""Masks and depth images in any order: each mask votes once, or its reason is counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.mask_fusion import MaskFusion
from cnn_perception.mapping.semantic.semantics import SemanticLayer
from cnn_perception.types import CameraIntrinsics, Header, RigidTransform

MS = 1_000_000
CAMERA = CameraIntrinsics(8, 6, 10.0, 10.0, 3.5, 2.5)
MAP = Leaves(np.zeros((1, 3), np.uint16), np.zeros(1, np.uint8), np.ones(1, np.float32))


def fusion(slop_s: float = 0.0, **config: Any) -> MaskFusion:
    layer = SemanticLayer(0.1)
    layer.labels = {0: "background", 1: "floor", 2: "wall"}
    return MaskFusion(layer, MapperConfig(resolution=0.1, **config), slop_s)


def depth(stamp_ns: int, x: float = 0.0, frame_id: str = "camera") -> tuple[Header, DepthScan]:
    pose = RigidTransform(np.eye(3), np.array([x, 0.0, 0.0]))
    image = np.full((6, 8), 1.05, np.float32)
    return Header(stamp_ns, frame_id), DepthScan(image, CAMERA, pose)


def mask(
    stamp_ns: int, class_id: int = 1, encoding: str = "mono8", frame_id: str = "camera"
) -> Any:
    """A sensor_msgs/Image, as rclpy and rosbags show it."""
    pixels = np.full((6, 8), class_id, "<u2" if encoding == "mono16" else "u1")
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id=frame_id),
        height=6,
        width=8,
        encoding=encoding,
        is_bigendian=0,
        step=8 * pixels.itemsize,
        data=pixels.tobytes(),
    )


def assert_accounted(masks: MaskFusion, added: int) -> None:
    assert masks.received == added
    assert masks.fused + masks.waiting + sum(masks.dropped.values()) == added


@pytest.mark.parametrize("mask_first", [False, True])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16"])
def test_whichever_comes_first_waits_for_the_other(mask_first: bool, encoding: str) -> None:
    masks = fusion()
    if mask_first:
        assert masks.add_mask(mask(5 * MS, encoding=encoding)) is None
        result = masks.add_depth(*depth(5 * MS))
    else:
        assert masks.add_depth(*depth(5 * MS)) is None
        result = masks.add_mask(mask(5 * MS, encoding=encoding))
    assert result is not None
    assert result.report is not None
    assert result.report.used == 48
    assert (masks.received, masks.fused, masks.waiting, masks.dropped) == (1, 1, 0, {})


def test_a_late_mask_votes_with_the_pose_of_its_own_moment() -> None:
    masks = fusion()
    for step in range(5):
        masks.add_depth(*depth(step * 33 * MS, x=10.0 * step))
    masks.add_mask(mask(33 * MS))
    centers = masks.layer.labelled(MAP).cells(0.1).centers
    assert np.abs(centers[:, 0] - 10.0).max() < 1.0


def test_stamps_must_agree_within_the_slop() -> None:
    exact, loose = fusion(), fusion(slop_s=0.01)
    for masks in (exact, loose):
        masks.add_depth(*depth(100 * MS))
        masks.add_mask(mask(109 * MS))
    assert (exact.fused, exact.waiting) == (0, 1)
    assert (loose.fused, loose.waiting) == (1, 0)


def test_depth_without_masks_and_masks_without_depth_are_let_go() -> None:
    masks = fusion()
    for k in range(100):
        masks.add_depth(*depth((2 * k) * MS))
        masks.add_mask(mask((2 * k + 1) * MS))
        assert_accounted(masks, added=k + 1)
    assert masks.fused == 0
    assert masks.waiting <= 30
    assert masks.dropped["unpaired"] == 100 - masks.waiting
    masks.clear()
    assert masks.waiting == 0
    assert_accounted(masks, added=100)


def test_loops_of_a_recording_give_equal_counts() -> None:
    masks = fusion()
    counts = []
    for loop in range(3):
        for k in range(10):
            masks.add_depth(*depth(k * 100 * MS, x=float(loop)))
            if k % 2 == 0:  # a segmenter that is half as fast, and one image behind
                masks.add_mask(mask(max(k - 2, 0) * 100 * MS, class_id=1 + loop % 2))
        counts.append(masks.fused)
        assert_accounted(masks, added=5 * (loop + 1))
    assert counts[1] - counts[0] == counts[2] - counts[1] == 4
    assert len(masks.layer.labelled(MAP)) > 0


def test_each_camera_has_its_own_stamps() -> None:
    masks = fusion()
    masks.add_depth(*depth(MS, x=1.0, frame_id="left"), "left")
    masks.add_depth(*depth(MS, x=9.0, frame_id="right"), "right")
    masks.add_mask(mask(MS, frame_id="right"), "right")
    assert masks.layer.labelled(MAP).cells(0.1).centers[:, 0].min() > 8.0
    masks.add_mask(mask(MS, frame_id="left"), "left")
    assert masks.fused == 2


def test_masks_that_cannot_vote_are_counted_by_reason() -> None:
    masks = fusion()
    bad = mask(2 * MS)
    bad.data = b"1"
    for number, message in enumerate(
        (mask(MS, frame_id="lidar"), bad, mask(3 * MS, encoding="rgb8")), 1
    ):
        masks.add_depth(*depth(number * MS))
        result = masks.add_mask(message)
        assert result is not None
        assert result.error is not None
    masks.layer.labels = {}
    masks.add_depth(*depth(4 * MS))
    masks.add_mask(mask(4 * MS))
    assert masks.dropped == {
        "frame_mismatch": 1,
        "no_labels": 1,
        "truncated_data": 1,
        "unknown_encoding": 1,
    }
    assert len(masks.layer) == masks.fused == 0
    assert_accounted(masks, added=4)


def test_a_mask_votes_within_the_ranges_of_the_map() -> None:
    masks = fusion(max_range=0.5)
    masks.add_depth(*depth(MS))
    result = masks.add_mask(mask(MS))
    assert result is not None
    assert result.report is not None
    assert result.report.pixels == 0
