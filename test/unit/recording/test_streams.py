"""The camera of a bag is found by types and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.recording.streams import (
    CameraStreams,
    ScanStream,
    camera_streams,
    scan_streams,
)

RAW, JPEG, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))


CLOUD = "sensor_msgs/msg/PointCloud2"


def write(path: Path, topics: dict[str, str]) -> Path:
    with BagWriter(path / "bag") as bag:
        for topic, msgtype in topics.items():
            bag.write_raw(topic, msgtype, b"\0\1\0\0", 1)
    return path / "bag"


def streams_of(path: Path, topics: dict[str, str]) -> CameraStreams:
    with BagReader(write(path, topics)) as bag:
        return camera_streams(bag)


def test_raw_camera(tmp_path: Path) -> None:
    found = streams_of(
        tmp_path,
        {
            "/camera/color/image_raw": RAW,
            "/camera/color/camera_info": INFO,
            "/camera/depth/image_rect": RAW,
            "/camera/depth/camera_info": INFO,
            "/camera/color/image_raw/compressed": JPEG,
        },
    )
    assert found == CameraStreams(
        "/camera/color/image_raw", "/camera/depth/image_rect", "/camera/depth/camera_info", False
    )
    assert (found.color_base, found.depth_base) == (found.color, found.depth)


def test_compressed_camera_beside_other_images(tmp_path: Path) -> None:
    found = streams_of(
        tmp_path,
        {
            "/annotations/mask": JPEG,
            "/camera/color/image_raw/compressed": JPEG,
            "/camera/depth/image_raw/compressedDepth": JPEG,
            "/camera/camera_info": INFO,
            "/other/camera_info": INFO,
        },
    )
    assert found.compressed
    assert found.color_base == "/camera/color/image_raw"
    assert found.depth_base == "/camera/depth/image_raw"
    assert found.camera_info == "/camera/camera_info"


@pytest.mark.parametrize(
    ("topics", "text"),
    [
        ({}, "it has nothing"),
        ({"/camera/image": RAW, "/camera/camera_info": INFO}, "no color image beside a depth"),
        ({"/camera/depth": RAW, "/camera/camera_info": INFO}, "no color image beside a depth"),
        ({"/camera/depth": RAW, "/camera/color": RAW}, "no sensor_msgs/msg/CameraInfo"),
        (
            {"/camera/depth": RAW, "/camera/color/compressed": JPEG, "/camera/camera_info": INFO},
            "no color image beside a depth",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, topics: dict[str, str], text: str) -> None:
    with pytest.raises(BagError, match=text):
        streams_of(tmp_path, topics)


CAMERAS = {
    "/front/color": RAW,
    "/front/depth": RAW,
    "/front/camera_info": INFO,
    "/rear/depth": RAW,
    "/rear/camera_info": INFO,
    "/front/depth/compressedDepth": JPEG,
    "/points": CLOUD,
}


@pytest.mark.parametrize(
    ("topics", "asked", "expected"),
    [
        (CAMERAS, {}, [("/front/depth", "/front/camera_info")]),
        (
            CAMERAS,
            {"depth_topics": ["/rear/depth", "/front/depth"]},
            [("/rear/depth", "/rear/camera_info"), ("/front/depth", "/front/camera_info")],
        ),
        (CAMERAS, {"cloud_topics": ["/points"]}, [("/points", "")]),
        (
            CAMERAS,
            {"depth_topics": ["/rear/depth"], "camera_info_topics": ["/front/camera_info"]},
            [("/rear/depth", "/front/camera_info")],
        ),
        # A depth image needs no color beside it, and a cloud no camera.
        ({"/depth": JPEG, "/info": INFO}, {}, [("/depth", "/info")]),
        ({"/image": RAW, "/a": CLOUD, "/b": CLOUD}, {}, [("/a", "")]),
    ],
)
def test_what_can_be_mapped(
    tmp_path: Path,
    topics: dict[str, str],
    asked: dict[str, list[str]],
    expected: list[tuple[str, str]],
) -> None:
    with BagReader(write(tmp_path, topics)) as bag:
        found = scan_streams(bag, **asked)
    assert found == tuple(ScanStream(*each) for each in expected)


@pytest.mark.parametrize(
    ("topics", "text"),
    [
        (
            {"/image": RAW},
            "has no depth image .* and no sensor_msgs/msg/PointCloud2: it has /image",
        ),
        ({"/depth": RAW}, "has no sensor_msgs/msg/CameraInfo"),
    ],
)
def test_nothing_to_map(tmp_path: Path, topics: dict[str, str], text: str) -> None:
    with BagReader(write(tmp_path, topics)) as bag, pytest.raises(BagError, match=text):
        scan_streams(bag)
