"""Where a camera was, from a bag's transforms, which may come late or never."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagReader, BagWriter, typestore
from cnn_perception.recording.bag_scans import camera_path
from cnn_perception.recording.compose import encode
from cnn_perception.types import Header, RigidTransform, StampedTransform
from painted_drive import FRAMES, write_drive

SECOND = 1_000_000_000


def message(name: str, /, **fields: Any) -> Any:
    return typestore().types[name](**fields)


def header(seconds: float, frame: str) -> Any:
    return encode.header(Header(round(seconds * SECOND), frame))


def transform(child: str, seconds: float, x: float, parent: str = "map") -> Any:
    pose = RigidTransform(np.eye(3), np.array([x, 0.5, 0.0]))
    return encode.transforms(StampedTransform(parent, child, round(seconds * SECOND), pose))


def image(seconds: float, frame: str = "camera") -> Any:
    """A damaged image: only its header is of use."""
    return message(
        "sensor_msgs/msg/Image",
        header=header(seconds, frame),
        height=9,
        width=9,
        encoding="nothing",
        is_bigendian=0,
        step=1,
        data=np.zeros(1, np.uint8),
    )


def path_of(folder: Path, records: list[tuple[str, float, Any]]) -> list[list[float]]:
    with BagWriter(folder / "bag") as bag:
        for topic, seconds, record in records:
            bag.write(topic, record.__msgtype__, record, round(seconds * SECOND))
    with BagReader(folder / "bag") as bag:
        path = camera_path(bag, "/image", "/map")
    assert path.dtype == np.float32
    return path.tolist()


def test_a_drive_is_followed(tmp_path: Path) -> None:
    with BagReader(write_drive(tmp_path / "drive")) as bag:
        path = camera_path(bag, "/camera/depth", "map")
    expected = [(0.02 * k, 0.0, 0.5) for k in range(FRAMES)]
    assert path == pytest.approx(np.array(expected), abs=1e-6)


def test_an_image_waits_for_the_transform_that_comes_later(tmp_path: Path) -> None:
    records = [
        ("/tf", 1.0, transform("camera", 1.0, 10.0)),
        ("/image", 1.5, image(1.5)),
        ("/tf", 2.0, transform("camera", 2.0, 20.0)),
    ]
    assert path_of(tmp_path, records) == [[15.0, 0.5, 0.0]]


def test_what_has_no_place_is_left_out(tmp_path: Path) -> None:
    records = [
        ("/image", 0.5, image(0.5)),
        ("/tf", 1.0, transform("camera", 1.0, 1.0)),
        ("/tf", 1.1, transform("camera", 1.1, 2.0, parent="camera")),
        ("/image", 1.2, image(1.2, "elsewhere")),
        ("/tf", 1.5, transform("camera", 1.5, 6.0)),
        ("/image", 1.6, image(1.25)),
        ("/image", 1.7, image(9.0)),
    ]
    assert path_of(tmp_path, records) == [[3.5, 0.5, 0.0]]


def test_a_bag_without_transforms_tells_nothing(tmp_path: Path) -> None:
    assert path_of(tmp_path, [("/image", 0.5, image(0.5))]) == []
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError, match="no topic '/imagf'"):
        camera_path(bag, "/imagf", "map")
