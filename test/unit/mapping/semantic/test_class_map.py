"""Masks and depth images in any order: each mask votes once, or its reason is counted."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig, SemanticsConfig
from cnn_perception.mapping.files.color_codec import NO_COLOR, decode_color
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.class_colors import class_colors
from cnn_perception.mapping.semantic.class_map import ClassMap
from cnn_perception.types import CameraIntrinsics, Header, RigidTransform

MS = 1_000_000
CAMERA = CameraIntrinsics(8, 6, 10.0, 10.0, 3.5, 2.5)
IMAGE = np.full((6, 8), 1.05, np.float32)
LABELS = {0: "background", 1: "floor", 2: "wall"}


def class_map(mapper: OccupancyMap | None = None, **settings: Any) -> ClassMap:
    made = ClassMap(
        mapper or OccupancyMap(MapperConfig(resolution=0.1)), SemanticsConfig(), **settings
    )
    made.layer.labels = LABELS
    return made


def depth(stamp_ns: int, x: float = 0.0, frame_id: str = "camera") -> tuple[Header, DepthScan]:
    pose = RigidTransform(np.eye(3), np.array([x, 0.0, 0.0]))
    return Header(stamp_ns, frame_id), DepthScan(IMAGE, CAMERA, pose)


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


def centers(masks: ClassMap) -> np.ndarray:
    return masks.labelled().cells(0.1).centers


def assert_accounted(masks: ClassMap, added: int) -> None:
    assert masks.fused + masks.waiting + sum(masks.dropped.values()) == added


@pytest.mark.parametrize("mask_first", [False, True])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16"])
def test_whichever_comes_first_waits_for_the_other(mask_first: bool, encoding: str) -> None:
    masks = class_map()
    if mask_first:
        assert masks.add_mask(mask(5 * MS, encoding=encoding)) is None
        result = masks.add_depth(*depth(5 * MS))
    else:
        assert masks.add_depth(*depth(5 * MS)) is None
        result = masks.add_mask(mask(5 * MS, encoding=encoding))
    assert result is not None
    assert result.report is not None
    assert result.report.used == 48
    assert (masks.fused, masks.waiting, masks.dropped) == (1, 0, {})


def test_a_late_mask_votes_with_the_pose_of_its_own_moment() -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.1))
    masks = class_map(mapper)
    for step in range(5):
        header, scan = depth(step * 33 * MS, x=10.0 * step)
        mapper.integrate(scan)
        masks.add_depth(header, scan)
    masks.add_mask(mask(33 * MS))
    assert len(centers(masks)) > 10
    assert np.abs(centers(masks)[:, 0] - 10.0).max() < 1.0


def test_stamps_must_agree_within_the_slop() -> None:
    exact, loose = class_map(), class_map(slop_s=0.01)
    for masks in (exact, loose):
        masks.add_depth(*depth(100 * MS))
        masks.add_mask(mask(109 * MS))
    assert (exact.fused, exact.waiting) == (0, 1)
    assert (loose.fused, loose.waiting) == (1, 0)


def test_depth_without_masks_and_masks_without_depth_are_let_go() -> None:
    masks = class_map()
    for k in range(100):
        masks.add_depth(*depth((2 * k) * MS))
        masks.add_mask(mask((2 * k + 1) * MS))
        assert_accounted(masks, added=k + 1)
    assert masks.fused == 0
    assert masks.waiting <= 30
    assert masks.dropped["unpaired"] == 100 - masks.waiting
    masks.stop_waiting()
    assert masks.waiting == 0
    assert_accounted(masks, added=100)


def test_loops_of_a_recording_give_equal_counts() -> None:
    masks = class_map()
    counts = []
    for loop in range(3):
        for k in range(10):
            masks.add_depth(*depth(k * 100 * MS))
            if k % 2 == 0:  # a segmenter that is half as fast, and one image behind
                masks.add_mask(mask(max(k - 2, 0) * 100 * MS, class_id=1 + loop % 2))
        counts.append(masks.fused)
        assert_accounted(masks, added=5 * (loop + 1))
    assert counts[1] - counts[0] == counts[2] - counts[1] == 4
    assert len(masks.layer) > 10


def test_each_camera_has_its_own_stamps() -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.1))
    masks = class_map(mapper)
    for x, name in ((1.0, "left"), (9.0, "right")):
        header, scan = depth(MS, x=x, frame_id=name)
        mapper.integrate(scan)
        masks.add_depth(header, scan, name)
    masks.add_mask(mask(MS, frame_id="right"), "right")
    assert centers(masks)[:, 0].min() > 8.0
    masks.add_mask(mask(MS, frame_id="left"), "left")
    assert masks.fused == 2


def test_masks_that_cannot_vote_are_counted_by_reason() -> None:
    masks = class_map()
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
    mapper = OccupancyMap(MapperConfig(resolution=0.1))
    masks = class_map(mapper)
    for stamp_ns, max_range, pixels in ((MS, -1.0, 48), (2 * MS, 0.5, 0)):
        mapper.config = dataclasses.replace(mapper.config, max_range=max_range)
        masks.add_depth(*depth(stamp_ns))
        result = masks.add_mask(mask(stamp_ns))
        assert result is not None
        assert result.report is not None
        assert result.report.pixels == pixels


def test_votes_for_what_is_not_in_the_map_do_not_pile_up() -> None:
    masks = class_map(OccupancyMap(MapperConfig(resolution=0.001)))
    most = 0
    for k in range(600):
        pose = RigidTransform(np.eye(3), np.array([0.0, 0.0, 0.002 * k]))
        masks.add_depth(Header(k * MS, "camera"), DepthScan(IMAGE, CAMERA, pose))
        masks.add_mask(mask(k * MS))
        most = max(most, len(masks.layer))
    assert masks.fused == 600
    assert 10_000 < most < 20_000  # of 28 800 cells


@pytest.mark.parametrize("palette", [None, np.uint8([[0, 0, 0], [9, 8, 7], [6, 5, 4]])])
def test_the_whole_map_has_the_colors_of_its_classes(palette: np.ndarray | None) -> None:
    mapper = OccupancyMap(MapperConfig(resolution=0.1))
    masks = class_map(mapper, palette=palette)
    for k, class_id in enumerate((1, 2)):
        header, scan = depth(k * MS, x=10.0 * k)
        mapper.integrate(scan)
        masks.add_depth(header, scan)
        masks.add_mask(mask(k * MS, class_id=class_id))
    tree = decode_color(masks.color_payload(masks.labelled()))
    expected = class_colors(LABELS, palette)
    np.testing.assert_array_equal(masks.colors, expected)
    occupied = tree.leaves.occupied
    first = tree.leaves.cells(0.1).centers[:, 0] < 5.0
    for chosen, class_id in ((occupied & first, 1), (occupied & ~first, 2)):
        assert chosen.any()
        assert (tree.colors[chosen] == expected[class_id]).all()
    assert (~occupied).any()
    assert (tree.colors[~occupied] == NO_COLOR).all()
    assert mapper.statistics().occupied == (tree.leaves.spans[occupied].astype(int) ** 3).sum()
