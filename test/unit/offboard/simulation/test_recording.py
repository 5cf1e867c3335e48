"""A recorded drive holds what the room shows, at equal stamps, with a complete transform tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cnn_perception.errors import BagError
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_color,
    decode_depth,
    decode_header,
    decode_transforms,
)
from cnn_perception.offboard.simulation.labels import OBJECT_CLASSES
from cnn_perception.offboard.simulation.recording import START_NS, RecordingConfig, record_drive
from cnn_perception.offboard.simulation.room import Room
from cnn_perception.recording.bag import BagMessage, BagReader

MakeRoom = Callable[[int], Room]
COLOR = "/camera/color/image_raw/compressed"
DEPTH = "/camera/depth/image_raw/compressedDepth"
CONFIG = RecordingConfig(seconds=0.5, rate=10.0, jpeg_quality=95)


@pytest.fixture(scope="module")
def bag(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    told: list[tuple[int, int]] = []
    count = record_drive(room, path, CONFIG, progress=lambda done, of: told.append((done, of)))
    assert count == 5
    assert told == [(k, 5) for k in range(1, 6)]
    return path


def by_topic(bag: Path) -> dict[str, list[BagMessage]]:
    found: dict[str, list[BagMessage]] = {}
    with BagReader(bag) as reader:
        for record in reader:
            found.setdefault(record.topic, []).append(record)
    return found


def test_every_stream_has_the_same_stamps(bag: Path) -> None:
    topics = by_topic(bag)
    expected = [START_NS + k * 100_000_000 for k in range(5)]
    for name in (
        COLOR,
        DEPTH,
        "/camera/color/camera_info",
        "/camera/depth/camera_info",
        "/ground_truth/mask",
        "/ground_truth/detections",
    ):
        headers = [decode_header(record.message.header) for record in topics[name]]
        assert [header.stamp_ns for header in headers] == expected, name
        assert {header.frame_id for header in headers} == {"camera_optical_frame"}
        assert [record.stamp_ns for record in topics[name]] == expected
    assert len(topics["/tf"]) == 10
    assert len(topics["/tf_static"]) == 1


def test_images_are_what_the_room_shows_from_the_recorded_pose(bag: Path, room: Room) -> None:
    topics = by_topic(bag)
    buffer = TransformBuffer()
    for name in ("/tf_static", "/tf"):
        for record in topics[name]:
            for edge in decode_transforms(record.message):
                buffer.add(edge, static=name == "/tf_static")
    poses = room.path(CONFIG.seconds, 2 * CONFIG.rate)[::2]
    for k, record in enumerate(topics[DEPTH]):
        stamp_ns = decode_header(record.message.header).stamp_ns
        found = buffer.lookup("map", "camera_optical_frame", stamp_ns)
        np.testing.assert_allclose(found.rotation, poses[k].rotation, atol=1e-9)
        np.testing.assert_allclose(found.translation, poses[k].translation, atol=1e-9)
        frame = room.render(poses[k])
        assert frame.depth is not None
        np.testing.assert_allclose(decode_depth(record.message), frame.depth, atol=1e-4)
        color = decode_color(topics[COLOR][k].message).astype(int)
        assert np.abs(color - frame.color).mean() < 4
        mask = decode_color(topics["/ground_truth/mask"][k].message)
        np.testing.assert_array_equal(mask[..., 0], frame.mask)
        truth = topics["/ground_truth/detections"][k].message.detections
        assert [box.results[0].hypothesis.class_id for box in truth] == [
            OBJECT_CLASSES[c] for c in frame.classes
        ]
        sizes = [(box.bbox.size_x, box.bbox.size_y) for box in truth]
        np.testing.assert_allclose(
            np.array(sizes).reshape(-1, 2), frame.boxes[:, 2:] - frame.boxes[:, :2]
        )


def test_camera_info_is_the_camera(bag: Path, room: Room) -> None:
    for name in ("/camera/color/camera_info", "/camera/depth/camera_info"):
        assert decode_camera_info(by_topic(bag)[name][0].message) == room.intrinsics


def test_same_seed_gives_the_same_bytes(
    bag: Path, room: Room, tmp_path: Path, make_room: MakeRoom
) -> None:
    with make_room(room.seed) as twin:
        record_drive(twin, tmp_path / "drive", CONFIG)
    assert (tmp_path / "drive" / "drive.mcap").read_bytes() == (bag / "drive.mcap").read_bytes()


def test_existing_bag_is_kept_unless_told_otherwise(room: Room, tmp_path: Path) -> None:
    short = RecordingConfig(seconds=0.1, ground_truth=False)
    record_drive(room, tmp_path / "bag", short)
    with pytest.raises(BagError):
        record_drive(room, tmp_path / "bag", short)
    record_drive(room, tmp_path / "bag", short, overwrite=True)
    assert not [name for name in by_topic(tmp_path / "bag") if name.startswith("/ground_truth")]


def test_command_records_a_bag(room: Room, tmp_path: Path) -> None:
    from cnn_perception.cli.main import app

    arguments = ["simulate", "--seed", "3", "--seconds", "0.3", "--width", "96", "--height", "72"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "bag")])
    assert result.exit_code == 0, result.output
    assert "3 images" in result.output
    frames = by_topic(tmp_path / "bag")[COLOR]
    assert [decode_color(record.message).shape for record in frames] == [(72, 96, 3)] * 3


def test_shipped_drive_is_complete_and_small(repository: Path) -> None:
    folder = repository / "data" / "demo_drive"
    assert (folder / "demo_drive.mcap").stat().st_size < 4 * 2**20
    with BagReader(folder) as reader:
        counts = {topic.name: topic.count for topic in reader.topics}
        assert reader.duration_ns == pytest.approx(12e9, abs=0.2e9)
        labels = {
            box.results[0].hypothesis.class_id
            for record in reader.messages({"/ground_truth/detections"})
            for box in record.message.detections
            if box.id != "difficult"
        }
    assert counts[COLOR] == counts[DEPTH] == 120
    assert len(labels) >= 10
