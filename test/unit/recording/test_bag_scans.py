"""Depth images and clouds out of bags: placed by their transforms, or skipped and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_perception.errors import BagError
from cnn_perception.mapping.scans import CloudScan, DepthScan
from cnn_perception.recording.bag import BagReader, BagWriter, typestore
from cnn_perception.recording.bag_scans import BagScans
from cnn_perception.recording.compose import encode
from cnn_perception.recording.streams import ScanStream
from cnn_perception.types import Header, RigidTransform, StampedTransform

SECOND = 1_000_000_000
DEPTH, INFO = "/camera/depth/image", "/camera/depth/camera_info"
FRAME = "camera_optical_frame"
CLOUD = "/lidar/points"
CAMERA = [ScanStream(DEPTH, INFO)]


def message(name: str, /, **fields: Any) -> Any:
    return typestore().types[name](**fields)


def header(seconds: float, frame: str = FRAME) -> Any:
    return encode.header(Header(round(seconds * SECOND), frame))


def depth_image(seconds: float, millimetres: int = 2000, frame: str = FRAME) -> Any:
    return message(
        "sensor_msgs/msg/Image",
        header=header(seconds, frame),
        height=3,
        width=4,
        encoding="16UC1",
        is_bigendian=0,
        step=8,
        data=np.full(12, millimetres, "<u2").view(np.uint8),
    )


def cloud(seconds: float, points: list[list[float]], frame: str = FRAME) -> Any:
    fields = [
        message("sensor_msgs/msg/PointField", name=name, offset=4 * axis, datatype=7, count=1)
        for axis, name in enumerate("xyz")
    ]
    return message(
        "sensor_msgs/msg/PointCloud2",
        header=header(seconds, frame),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(points),
        data=np.array(points, "<f4").view(np.uint8).ravel(),
        is_dense=True,
    )


def camera_info(seconds: float) -> Any:
    k = np.array([4.0, 0, 1.5, 0, 4.0, 1.0, 0, 0, 1])
    p = np.array([4.0, 0, 1.5, 0, 0, 4.0, 1.0, 0, 0, 0, 1, 0])
    region = message(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return message(
        "sensor_msgs/msg/CameraInfo",
        header=header(seconds),
        height=3,
        width=4,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).ravel(),
        p=p,
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def transform(parent: str, child: str, seconds: float, x: float) -> Any:
    pose = RigidTransform(np.eye(3), np.array([x, 0.0, 0.0]))
    return encode.transforms(StampedTransform(parent, child, round(seconds * SECOND), pose))


def write(path: Path, records: list[tuple[str, float, Any]]) -> Path:
    with BagWriter(path) as bag:
        for topic, seconds, record in records:
            bag.write(topic, record.__msgtype__, record, round(seconds * SECOND))
    return path


MOUNT = ("/tf_static", 0.0, transform("base_link", FRAME, 0.0, 0.5))


def test_an_image_waits_for_the_transform_that_comes_later(tmp_path: Path) -> None:
    path = write(
        tmp_path / "bag",
        [
            MOUNT,
            (INFO, 0.0, camera_info(0.0)),
            ("/tf", 1.0, transform("map", "base_link", 1.0, 10.0)),
            (DEPTH, 1.5, depth_image(1.5)),
            (DEPTH, 1.6, depth_image(1.6, millimetres=3000)),
            ("/tf", 2.0, transform("map", "base_link", 2.0, 20.0)),
        ],
    )
    with BagReader(path) as bag:
        scans = BagScans(bag, CAMERA, "map")
        found = list(scans)
    assert len(scans) == 2
    assert [scan.map_from_sensor.translation[0] for scan in found] == pytest.approx([15.5, 16.5])
    images = [scan for scan in found if isinstance(scan, DepthScan)]
    assert [float(scan.depth[0, 0]) for scan in images] == pytest.approx([2.0, 3.0])
    assert (images[0].intrinsics.width, images[0].intrinsics.fx) == (4, 4.0)
    assert not scans.skipped


def test_what_cannot_be_placed_is_counted_by_reason(tmp_path: Path) -> None:
    damaged = depth_image(1.5)
    damaged.data = damaged.data[:-1]
    path = write(
        tmp_path / "bag",
        [
            MOUNT,
            (DEPTH, 0.5, depth_image(0.5)),
            (INFO, 0.6, camera_info(0.6)),
            (DEPTH, 0.7, depth_image(0.7)),
            ("/tf", 1.0, transform("map", "base_link", 1.0, 0.0)),
            (DEPTH, 1.5, damaged),
            ("/tf", 2.0, transform("map", "base_link", 2.0, 0.0)),
            (DEPTH, 2.0, depth_image(2.0)),
            (DEPTH, 2.1, depth_image(2.1, frame="elsewhere")),
            (DEPTH, 2.5, depth_image(2.5)),
        ],
    )
    with BagReader(path) as bag:
        scans = BagScans(bag, CAMERA, "map")
        found = list(scans)
    assert len(found) == 1
    reasons = dict(scans.skipped)
    assert reasons.pop("no_transform") == 3  # two before the first transform, one after the last
    assert reasons.pop("frame_mismatch") == 1  # the camera_info is not of the frame elsewhere
    assert sum(reasons.values()) == 1  # the damaged image, under the decoder's own reason
    assert scans.skipped.total() + len(found) == len(scans) == 6
    assert "newest data for map -> base_link is 2.000 s" in scans.last_error


def test_an_image_waits_for_its_own_camera_info(tmp_path: Path) -> None:
    records = [MOUNT]
    for seconds, focal in ((1.0, 4.0), (2.0, 8.0)):
        info = camera_info(seconds)
        info.p[0] = info.p[5] = focal
        records += [
            ("/tf", seconds, transform("map", "base_link", seconds, 0.0)),
            (DEPTH, seconds, depth_image(seconds)),
            (INFO, seconds + 0.1, info),
        ]
    with BagReader(write(tmp_path / "bag", records)) as bag:
        found = list(BagScans(bag, CAMERA, "map"))
    assert [scan.intrinsics.fx for scan in found if isinstance(scan, DepthScan)] == [4.0, 8.0]


def test_one_camera_info_holds_for_all_images(tmp_path: Path) -> None:
    records = [MOUNT, (INFO, 0.0, camera_info(0.0))]
    for seconds in (1.0, 1.1, 1.2):
        records.append(("/tf", seconds, transform("map", "base_link", seconds, 0.0)))
        records.append((DEPTH, seconds, depth_image(seconds)))
    with BagReader(write(tmp_path / "bag", records)) as bag:
        assert len(list(BagScans(bag, CAMERA, "map"))) == 3


def test_a_camera_info_of_another_frame_is_no_match(tmp_path: Path) -> None:
    info = camera_info(1.0)
    info.header.frame_id = "another_camera"
    records = [
        MOUNT,
        ("/tf", 1.0, transform("map", "base_link", 1.0, 0.0)),
        (INFO, 1.0, info),
        (DEPTH, 1.0, depth_image(1.0)),
    ]
    with BagReader(write(tmp_path / "bag", records)) as bag:
        scans = BagScans(bag, CAMERA, "map")
        assert not list(scans)
    assert dict(scans.skipped) == {"frame_mismatch": 1}


def test_a_bag_without_transforms_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bag", [(DEPTH, 0.0, depth_image(0.0))])
    with BagReader(path) as bag, pytest.raises(BagError, match="neither /tf nor /tf_static"):
        BagScans(bag, CAMERA, "map")


def test_clouds_are_placed_beside_depth_images(tmp_path: Path) -> None:
    damaged = cloud(1.3, [[1.0, 2.0, 3.0]])
    damaged.data = damaged.data[:-1]
    path = write(
        tmp_path / "bag",
        [
            MOUNT,
            ("/tf", 1.0, transform("map", "base_link", 1.0, 10.0)),
            (CLOUD, 1.1, cloud(1.1, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])),
            (INFO, 1.2, camera_info(1.2)),
            (DEPTH, 1.2, depth_image(1.2)),
            (CLOUD, 1.3, damaged),
            ("/tf", 2.0, transform("map", "base_link", 2.0, 20.0)),
        ],
    )
    with BagReader(path) as bag:
        scans = BagScans(bag, [*CAMERA, ScanStream(CLOUD)], "map")
        first, second = scans
    assert len(scans) == 3
    assert isinstance(first, CloudScan)
    assert first.points.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert first.map_from_sensor.translation[0] == pytest.approx(11.5)
    assert isinstance(second, DepthScan)
    assert dict(scans.skipped) == {"truncated_data": 1}
