"""The same recording in every form of a bag gives the same answers; damage is one clear error."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter, Schema, write_schema
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

import recorded_robot as robot
from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagReader, typestore
from cnn_perception.replay.plan import ReplayPlan
from cnn_perception.replay.replayer import replay
from cnn_perception.replay.run import ReplayRun
from recorded_robot import Bundles, drive

RECORDS = drive(4)


@pytest.fixture(scope="module")
def plan(bundles: Bundles) -> ReplayPlan:
    """Every node, with everything that reads the bag."""
    return robot.plan_for(
        bundles,
        "detector",
        "segmenter",
        "explainer",
        "mapper",
        detector={"use_depth": True},
        mapper={"semantics.enabled": True, "resolution": 0.1},
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, plan: ReplayPlan) -> ReplayRun:
    """The replay of the recording as this package writes it."""
    folder = tmp_path_factory.mktemp("plain")
    return robot.replayed(robot.write(folder / "bag", RECORDS), plan, folder)


def sqlite(folder: Path) -> Path:
    return robot.write(folder / "bag", RECORDS, "sqlite3")


def mcap_file(folder: Path) -> Path:
    return robot.write(folder / "bag", RECORDS) / "bag.mcap"


def sqlite_file(folder: Path) -> Path:
    return sqlite(folder) / "bag.db3"


def sqlite_of_humble(folder: Path) -> Path:
    """A bag of before message definitions were recorded."""
    path = sqlite(folder)
    with closing(sqlite3.connect(path / "bag.db3")) as file, file:
        file.execute("DROP TABLE message_definitions")
        file.execute("DROP TABLE schema")
    return path


def compressed(storage: StoragePlugin, mode: CompressionMode) -> Callable[[Path], Path]:
    return lambda folder: robot.write_compressed(folder / "bag", RECORDS, storage, mode)


def split(storage: str) -> Callable[[Path], Path]:
    """Two files under one metadata.yaml, as ``ros2 bag record --max-bag-duration`` leaves them."""

    def make(folder: Path) -> Path:
        cut = len(RECORDS) // 2
        parts = [
            robot.write(folder / f"part_{index}", records, storage)
            for index, records in enumerate((RECORDS[:cut], RECORDS[cut:]))
        ]
        bag = folder / "bag"
        bag.mkdir()
        told = [
            yaml.safe_load((part / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
            for part in parts
        ]
        names = []
        for part, each in zip(parts, told, strict=True):
            (name,) = each["relative_file_paths"]
            shutil.copy(part / name, bag / name)
            names.append(name)
        whole = dict(told[0])
        counts = {
            each["topic_metadata"]["name"]: each
            for one in told
            for each in one["topics_with_message_count"]
        }
        for name, each in counts.items():
            each["message_count"] = sum(record.topic == name for record in RECORDS)
        whole["topics_with_message_count"] = list(counts.values())
        whole["relative_file_paths"] = names
        whole["files"] = told[0]["files"] + told[1]["files"]
        whole["message_count"] = len(RECORDS)
        whole["duration"] = {"nanoseconds": 300_000_000}
        content = yaml.safe_dump({"rosbag2_bagfile_information": whole})
        (bag / "metadata.yaml").write_text(content)
        return bag

    return make


def ros1(folder: Path) -> Path:
    """A ROS 1 bag: headers have a seq, matrices of a camera_info are in capitals."""
    store = get_typestore(Stores.ROS1_NOETIC)
    transforms = "geometry_msgs/TransformStamped[] transforms\n"
    store.register(get_types_from_msg(transforms, "tf2_msgs/msg/TFMessage"))

    def converted(message: Any) -> Any:
        if isinstance(message, list):
            return [converted(each) for each in message]
        name = getattr(message, "__msgtype__", None)
        if name is None:
            return message
        fields = {
            field: converted(getattr(message, field, getattr(message, field.lower(), 0)))
            for field, _ in store.fielddefs[name][1]
        }
        return store.types[name](**fields)

    path = folder / "robot.bag"
    with Ros1Writer(path) as bag:
        connections: dict[str, Any] = {}
        for each in RECORDS:
            msgtype = each.message.__msgtype__
            if each.topic not in connections:
                latching = 1 if each.topic == "/tf_static" else None
                connections[each.topic] = bag.add_connection(
                    each.topic, msgtype, typestore=store, latching=latching
                )
            data = store.serialize_ros1(converted(each.message), msgtype)
            bag.write(connections[each.topic], each.recorded_ns, data)
    return path


@pytest.mark.parametrize(
    "make",
    [
        sqlite,
        mcap_file,
        sqlite_file,
        sqlite_of_humble,
        compressed(StoragePlugin.MCAP, CompressionMode.FILE),
        compressed(StoragePlugin.MCAP, CompressionMode.MESSAGE),
        compressed(StoragePlugin.MCAP, CompressionMode.STORAGE),
        compressed(StoragePlugin.SQLITE3, CompressionMode.FILE),
        compressed(StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        split("mcap"),
        split("sqlite3"),
        ros1,
    ],
    ids=[
        "sqlite3",
        "mcap-file",
        "sqlite3-file",
        "sqlite3-humble",
        "mcap-compressed-file",
        "mcap-compressed-messages",
        "mcap-compressed-chunks",
        "sqlite3-compressed-file",
        "sqlite3-compressed-messages",
        "mcap-split",
        "sqlite3-split",
        "ros1",
    ],
)
def test_every_form_of_a_bag_gives_the_same(
    make: Callable[[Path], Path], tmp_path: Path, plan: ReplayPlan, plain: ReplayRun
) -> None:
    run = robot.replayed(make(tmp_path), plan, tmp_path)
    for part in ("digests", "nodes", "map", "topics", "configuration"):
        assert run.summary[part] == plain.summary[part]
    assert run.summary["bag"]["messages"] == len(RECORDS)
    assert list(run.frames())[-1].stamp_ns == robot.at(0.3)


def test_static_transforms_of_a_ros1_bag_are_latched(tmp_path: Path, plan: ReplayPlan) -> None:
    with BagReader(ros1(tmp_path)) as bag:
        assert {topic.name for topic in bag.topics if topic.latched} == {"/tf_static"}


ARM = "robot_msgs/msg/Arm"


def write_with_arm(path: Path, storage: str, undefined: tuple[str, ...]) -> Path:
    """Write RECORDS and messages of a robot's own type; leave the definitions of some types out."""
    store, own = typestore(), get_typestore(Stores.EMPTY)
    own.register(get_types_from_msg("float64 angle\n", ARM))
    plugin = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}[storage]
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        if isinstance(writer.storage, McapWriter):
            for name in undefined:  # as rosbag2 does for types whose .msg files are not installed
                writer.storage.schemas.append(Schema(len(writer.storage.schemas) + 1, name, "", ""))
                write_schema(writer.storage.chunk.bio, writer.storage.schemas[-1])
                writer.added_types.add(name)
        connections = {"/arm": writer.add_connection("/arm", ARM, typestore=own)}
        for each in RECORDS:
            msgtype = each.message.__msgtype__
            if each.topic not in connections:
                connections[each.topic] = writer.add_connection(
                    each.topic, msgtype, typestore=store
                )
            data = store.serialize_cdr(each.message, msgtype)
            writer.write(connections[each.topic], each.recorded_ns, data)
            writer.write(connections["/arm"], each.recorded_ns, b"\0\1\0\0" + bytes(8))
    if storage == "sqlite3":
        with closing(sqlite3.connect(path / f"{path.name}.db3")) as file, file:
            for name in undefined:
                file.execute("DELETE FROM message_definitions WHERE topic_type = ?", (name,))
    return path


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("undefined", [(), (ARM,), (ARM, "tf2_msgs/msg/TFMessage")])
def test_unknown_types_beside_the_camera(
    tmp_path: Path,
    plan: ReplayPlan,
    plain: ReplayRun,
    storage: str,
    undefined: tuple[str, ...],
) -> None:
    """They are not read; and well-known ones need no definition in the bag."""
    bag = write_with_arm(tmp_path / "bag", storage, undefined)
    run = robot.replayed(bag, plan, tmp_path)
    assert run.summary["digests"] == plain.summary["digests"]
    assert run.summary["bag"]["unread"] == ["/arm"]


def cut(data: bytes, where: str) -> bytes:
    return {"empty": b"", "middle": data[: len(data) // 2], "last bytes": data[:-20]}[where]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("where", ["empty", "middle", "last bytes"])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_truncated_file_is_one_clear_error(
    tmp_path: Path, plan: ReplayPlan, storage: str, where: str, as_file: bool
) -> None:
    bag = robot.write(tmp_path / "bag", RECORDS, storage)
    file = bag / ("bag.mcap" if storage == "mcap" else "bag.db3")
    file.write_bytes(cut(file.read_bytes(), where))
    with pytest.raises(BagError, match="record it again, or repair it") as error:
        replay(file if as_file else bag, plan, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "results").exists()
    assert not (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_damage_in_the_middle_leaves_no_half_results(
    tmp_path: Path, plan: ReplayPlan, storage: str
) -> None:
    """The bag opens, and a message in it cannot be read: what an earlier run left goes, too."""
    bag = robot.write(tmp_path / "bag", RECORDS, storage)
    replay(bag, plan, tmp_path / "out")
    file = bag / ("bag.mcap" if storage == "mcap" else "bag.db3")
    data = bytearray(file.read_bytes())
    if storage == "mcap":
        data[len(data) // 8 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 8)
        file.write_bytes(data)
    else:
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE messages SET data = substr(data, 1, 30) WHERE id = 9")
    with pytest.raises(BagError, match="record it again, or repair it") as error:
        replay(bag, plan, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["frames.csv"]
    with pytest.raises(BagError, match="holds no finished replay"):
        ReplayRun.load(tmp_path / "out")


def test_what_is_no_bag(tmp_path: Path, plan: ReplayPlan) -> None:
    (tmp_path / "notes.txt").write_text("no bag")
    (tmp_path / "folder").mkdir()
    for name, text in (
        ("nowhere", "no bag at"),
        ("notes.txt", "cannot open"),
        ("folder", "no metadata.yaml"),
    ):
        with pytest.raises(BagError, match=text) as error:
            replay(tmp_path / name, plan, tmp_path / "out")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
