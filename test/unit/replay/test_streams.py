"""The camera of a bag is found by types and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import BagError
from cnn_perception.replay.bag import BagReader, BagWriter
from cnn_perception.replay.streams import CameraStreams, camera_streams

RAW, JPEG, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))


def streams_of(path: Path, topics: dict[str, str]) -> CameraStreams:
    with BagWriter(path / "bag") as bag:
        for topic, msgtype in topics.items():
            bag.write_raw(topic, msgtype, b"\0\1\0\0", 1)
    with BagReader(path / "bag") as bag:
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
        ({"/camera/image": RAW, "/camera/camera_info": INFO}, "no colour image beside a depth"),
        ({"/camera/depth": RAW, "/camera/camera_info": INFO}, "no colour image beside a depth"),
        ({"/camera/depth": RAW, "/camera/color": RAW}, "no sensor_msgs/msg/CameraInfo"),
        (
            {"/camera/depth": RAW, "/camera/color/compressed": JPEG, "/camera/camera_info": INFO},
            "no colour image beside a depth",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, topics: dict[str, str], text: str) -> None:
    with pytest.raises(BagError, match=text):
        streams_of(tmp_path, topics)
