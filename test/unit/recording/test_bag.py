"""Bags are what was written, and damage is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagReader, BagWriter, typestore

IMAGE = "sensor_msgs/msg/Image"
SECOND = 1_000_000_000


def header(stamp_ns: int, frame: str = "camera") -> Any:
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND))
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)


def image(stamp_ns: int, pixels: np.ndarray) -> Any:
    height, width = pixels.shape[:2]
    return typestore().types[IMAGE](
        header=header(stamp_ns),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(pixels).reshape(-1),
    )


def write_images(path: Path, count: int = 5, storage: str = "mcap") -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    pictures = [generator.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(count)]
    with BagWriter(path, storage=storage) as bag:
        for index, picture in enumerate(pictures):
            bag.write("/image", IMAGE, image(index * SECOND, picture), index * SECOND + 7)
    return pictures


def text(value: str) -> Any:
    return typestore().types["std_msgs/msg/String"](data=value)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_messages_come_back(tmp_path: Path, storage: str) -> None:
    pictures = write_images(tmp_path / "bag", storage=storage)
    with BagReader(tmp_path / "bag") as bag:
        found = list(bag)
        assert (bag.start_ns, bag.end_ns) == (7, 4 * SECOND + 7)
        assert (bag.message_count, bag.duration_ns) == (5, 4 * SECOND)
    assert [(m.topic, m.msgtype, m.stamp_ns) for m in found] == [
        ("/image", IMAGE, index * SECOND + 7) for index in range(5)
    ]
    for index, (record, picture) in enumerate(zip(found, pictures, strict=True)):
        message = record.message
        assert (message.header.stamp.sec, message.header.frame_id) == (index, "camera")
        np.testing.assert_array_equal(message.data.reshape(48, 64, 3), picture)


@pytest.mark.parametrize(
    ("msgtype", "digest"),
    [
        ("vision_msgs/msg/Detection2DArray", "RIHS01_214274120007f4a6"),
        ("vision_msgs/msg/Detection3DArray", "RIHS01_793f5eab9595ac1c"),
        ("vision_msgs/msg/Classification", "RIHS01_f74db28d0eaef3af"),
        ("vision_msgs/msg/LabelInfo", "RIHS01_3d37df4015cdf660"),
        ("octomap_msgs/msg/Octomap", "RIHS01_9891a19a05b70ec2"),
        ("tf2_msgs/msg/TFMessage", "RIHS01_e369d0f05a23ae52"),
    ],
)
def test_types_are_those_of_a_robot(msgtype: str, digest: str) -> None:
    """The REP-2016 hashes of the released packages: a bag of ours opens on any ROS 2 machine."""
    assert typestore().hash_rihs01(msgtype).startswith(digest)


def test_vision_message_round_trip(tmp_path: Path) -> None:
    types = typestore().types
    vision_class = types["vision_msgs/msg/VisionClass"](class_id=3, class_name="chair")
    info = types["vision_msgs/msg/LabelInfo"](
        header=header(5), class_map=[vision_class], threshold=0.5
    )
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/label_info", "vision_msgs/msg/LabelInfo", info, 5, latched=True)
        bag.add_topic("/detections", "vision_msgs/msg/Detection2DArray")
    with BagReader(tmp_path / "bag") as bag:
        (found,) = bag
        topics = {topic.name: topic for topic in bag.topics}
    assert found.message.class_map[0].class_name == "chair"
    assert topics["/label_info"].latched and topics["/label_info"].count == 1
    assert not topics["/detections"].latched and topics["/detections"].count == 0


def test_equal_messages_give_equal_bytes(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_images(tmp_path / folder / "bag")
    for name in ("bag.mcap", "metadata.yaml"):
        first, second = ((tmp_path / f / "bag" / name).read_bytes() for f in ("first", "second"))
        assert first == second


def test_order_is_by_stamp_and_ranges_are_half_open(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for stamp in (30, 10, 20, 40):
            bag.write("/text", "std_msgs/msg/String", text(str(stamp)), stamp)
    with BagReader(tmp_path / "bag") as bag:
        assert [m.stamp_ns for m in bag] == [10, 20, 30, 40]
        assert [m.message.data for m in bag.messages(start_ns=20, stop_ns=40)] == ["20", "30"]


def test_topics_can_be_chosen(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for stamp in range(4):
            bag.write(f"/{stamp % 2}", "std_msgs/msg/String", text(str(stamp)), stamp)
    with BagReader(tmp_path / "bag") as bag:
        assert [m.message.data for m in bag.messages(["/1"])] == ["1", "3"]
        assert list(bag.messages([])) == []
        with pytest.raises(BagError, match=r"no topic '/imag'.*it has /0, /1"):
            list(bag.messages(["/imag"]))


def test_raw_bytes_pass_through(tmp_path: Path) -> None:
    write_images(tmp_path / "bag")
    with BagReader(tmp_path / "bag") as source, BagWriter(tmp_path / "copy") as copy:
        for raw in source.raw_messages():
            copy.write_raw(raw.topic, raw.msgtype, raw.data, raw.stamp_ns)
    with BagReader(tmp_path / "bag") as source, BagReader(tmp_path / "copy") as copied:
        assert list(copied.raw_messages()) == list(source.raw_messages())


def test_storage_file_opens_without_its_folder(tmp_path: Path) -> None:
    write_images(tmp_path / "bag")
    with BagReader(tmp_path / "bag" / "bag.mcap") as bag:
        assert len(list(bag)) == 5


def test_missing_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"no bag at .*nowhere"):
        BagReader(tmp_path / "nowhere")
    with pytest.raises(BagError, match=r"no metadata\.yaml"):
        BagReader(tmp_path)
    (tmp_path / "notes.txt").write_text("not a bag")
    with pytest.raises(BagError, match=r"notes\.txt"):
        BagReader(tmp_path / "notes.txt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_truncated_bag_is_one_clear_error(tmp_path: Path, storage: str, share: float) -> None:
    write_images(tmp_path / "bag", count=200, storage=storage)
    (data,) = (p for p in (tmp_path / "bag").iterdir() if p.suffix in {".mcap", ".db3"})
    data.write_bytes(data.read_bytes()[: int(share * data.stat().st_size)])
    with pytest.raises(BagError, match="repair it"), BagReader(tmp_path / "bag") as bag:
        list(bag)


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    """Damage inside the data gives a BagError or is not noticed; no other exception escapes."""
    write_images(tmp_path / "bag")
    data = tmp_path / "bag" / "bag.mcap"
    original = data.read_bytes()
    generator = np.random.default_rng(11)
    errors = 0
    for _ in range(60):
        damaged = bytearray(original)
        for position in generator.integers(0, len(damaged), 4):
            damaged[position] ^= int(generator.integers(1, 256))
        data.write_bytes(damaged)
        try:
            with BagReader(tmp_path / "bag") as bag:
                list(bag)
        except BagError:
            errors += 1
    assert errors > 0


def test_writer_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/text", "std_msgs/msg/String", text("a"), 1)
        with pytest.raises(BagError, match="carries std_msgs/msg/String"):
            bag.write("/text", IMAGE, image(0, np.zeros((1, 1, 3), np.uint8)), 1)
        with pytest.raises(BagError, match="robot_msgs/msg/Arm"):
            bag.write("/arm", "robot_msgs/msg/Arm", text("a"), 1)
        with pytest.raises(BagError, match="does not fit std_msgs/msg/String"):
            bag.write("/text", "std_msgs/msg/String", text(None), 1)  # type: ignore[arg-type]
        with pytest.raises(BagError, match="negative"):
            bag.write("/text", "std_msgs/msg/String", text("a"), -1)
    with pytest.raises(BagError, match="is closed"):
        bag.write("/text", "std_msgs/msg/String", text("a"), 2)
    with BagReader(tmp_path / "bag") as found:
        assert [m.message.data for m in found] == ["a"]


def test_writer_keeps_what_is_there(tmp_path: Path) -> None:
    write_images(tmp_path / "bag", count=1)
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "bag")
    (tmp_path / "notes").mkdir()
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "notes", overwrite=True)
    with BagWriter(tmp_path / "bag", overwrite=True):
        pass
    with BagReader(tmp_path / "bag") as bag:
        assert (bag.message_count, bag.start_ns, list(bag)) == (0, 0, [])


def test_failed_recording_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped"), BagWriter(tmp_path / "bag") as bag:
        bag.write("/text", "std_msgs/msg/String", text("a"), 1)
        raise RuntimeError("stopped")
    assert not (tmp_path / "bag").exists()


def test_unknown_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="storage 'zip'"):
        BagWriter(tmp_path / "bag", storage="zip")


def test_fast_compression_holds_the_same(tmp_path: Path) -> None:
    folders = {}
    for fast in (False, True):
        with BagWriter(tmp_path / str(fast), fast=fast) as bag:
            for index in range(5):
                flat = np.full((48, 64, 3), index, np.uint8)
                bag.write("/image", IMAGE, image(index * SECOND, flat), index * SECOND)
        with BagReader(tmp_path / str(fast)) as reader:
            folders[fast] = [(raw.stamp_ns, bytes(raw.data)) for raw in reader.raw_messages()]
    assert folders[True] == folders[False]
    sizes = [sum(f.stat().st_size for f in (tmp_path / str(k)).glob("*.mcap")) for k in folders]
    assert max(sizes) < 5 * 48 * 64 * 3 / 4
