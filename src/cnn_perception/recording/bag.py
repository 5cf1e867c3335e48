"""Rosbags (rosbag2; mcap and sqlite3 storage) read and written without ROS.

Messages are the plain objects of the `rosbags` library: same field names as ROS's, arrays as numpy.
`typestore().types["sensor_msgs/msg/Image"](header=..., ...)` makes one. Stamps are the recorder's
receive times in integer nanoseconds, which is what a player schedules by.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from rosbags.highlevel import AnyReader
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from cnn_perception.errors import BagError
from cnn_perception.resources import share_directory
from cnn_perception.settings import nearest

__all__ = ["BagMessage", "BagReader", "BagTopic", "BagWriter", "RawBagMessage", "typestore"]

R = TypeVar("R", bound="BagReader")
T = TypeVar("T")
W = TypeVar("W", bound="BagWriter")

_STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
_FAST_LEVEL = -1  # of zstd, whose usual one is 3
_REPAIR = "record it again, or repair it with 'ros2 bag reindex' or 'mcap recover'"


@cache
def typestore() -> Typestore:
    """Return the message types that this package speaks: ROS 2's own, vision_msgs, octomap_msgs.

    The latter two are read from the ``interfaces/`` folder of the share directory.
    """
    store = get_typestore(Stores.ROS2_KILTED)
    definitions = {}
    for path in sorted((share_directory() / "interfaces").glob("*/msg/*.msg")):
        name = f"{path.parts[-3]}/msg/{path.stem}"
        if name not in store.fielddefs:
            definitions.update(get_types_from_msg(path.read_text(encoding="utf-8"), name))
    store.register(definitions)
    return store


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag.

    `latched` topics (transient local) are kept for late subscribers; `reliable` is false where all
    recorded publishers offered best effort.
    """

    name: str
    msgtype: str
    count: int
    latched: bool
    reliable: bool


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One recorded message and the time of its receipt, nanoseconds."""

    topic: str
    msgtype: str
    message: Any
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class RawBagMessage:
    """One recorded message as serialised CDR bytes, and the time of its receipt, nanoseconds."""

    topic: str
    msgtype: str
    data: bytes
    stamp_ns: int


class BagReader:
    """A recording opened for reading: a rosbag2 folder, an ``.mcap`` file or a ``.db3`` file.

    Iterating gives every `BagMessage` in order of its stamp. Use it as a context manager or call
    `close`. Raises BagError for a bag that is missing, damaged or of an unknown format.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise BagError(f"no bag at {self.path}: give a rosbag2 folder, .mcap or .db3 file")
        if self.path.is_dir() and not (self.path / "metadata.yaml").is_file():
            raise BagError(
                f"{self.path} has no metadata.yaml, so it is no finished rosbag2 recording: "
                "run 'ros2 bag reindex' on it or give the .mcap file inside"
            )
        self._reader = self._guard(
            lambda: AnyReader([self.path], default_typestore=typestore()), "open"
        )
        self._guard(self._reader.open, "open")
        self._guard(self._define_missing, "open")

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; closing twice is harmless."""
        if self._reader.stack is not None:
            self._reader.close()

    @property
    def topics(self) -> tuple[BagTopic, ...]:
        """What the bag holds, sorted by topic name."""
        found: dict[str, BagTopic] = {}
        for connection in self._reader.connections:
            before = found.get(connection.topic)
            if before is not None and before.msgtype != connection.msgtype:
                raise BagError(
                    f"topic {connection.topic} of {self.path} has the types {before.msgtype} and "
                    f"{connection.msgtype}: split the recording"
                )
            found[connection.topic] = BagTopic(
                connection.topic,
                connection.msgtype,
                connection.msgcount + (before.count if before else 0),
                _latched(connection) or (before is not None and before.latched),
                _reliable(connection) or (before is not None and before.reliable),
            )
        return tuple(found[name] for name in sorted(found))

    def topic(self, name: str) -> BagTopic:
        """Return one topic; raises BagError naming the nearest when the bag does not have it."""
        known = {topic.name: topic for topic in self.topics}
        if name not in known:
            hint = nearest(name, known, "it has")
            raise BagError(f"{self.path} has no topic {name!r}: {hint}")
        return known[name]

    @property
    def message_count(self) -> int:
        """Number of messages on all topics."""
        return self._reader.message_count

    @property
    def start_ns(self) -> int:
        """Stamp of the first message; 0 when there is none."""
        return self._reader.start_time if self.message_count else 0

    @property
    def end_ns(self) -> int:
        """Stamp of the last message; 0 when there is none."""
        return self._reader.end_time - 1 if self.message_count else 0

    @property
    def duration_ns(self) -> int:
        """Time between the first and the last message."""
        return self.end_ns - self.start_ns

    def __iter__(self) -> Iterator[BagMessage]:
        return self.messages()

    def messages(
        self,
        topics: Collection[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[BagMessage]:
        """Yield messages in order of their stamps.

        `topics` None means all; `start_ns` is inclusive, `stop_ns` exclusive. Raises BagError for a
        topic that the bag does not have and for data that cannot be read.
        """
        for raw in self.raw_messages(topics, start_ns=start_ns, stop_ns=stop_ns):
            yield BagMessage(raw.topic, raw.msgtype, self.deserialize(raw), raw.stamp_ns)

    def raw_messages(
        self,
        topics: Collection[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[RawBagMessage]:
        """Yield messages as serialised bytes; arguments and errors as in `messages`."""
        connections = self._connections(topics)
        if not connections:
            return
        stream = self._reader.messages(connections, start_ns, stop_ns)
        while True:
            record = self._guard(lambda: next(stream, None), "read")
            if record is None:
                return
            connection, stamp_ns, data = record
            yield RawBagMessage(connection.topic, connection.msgtype, data, stamp_ns)

    def deserialize(self, raw: RawBagMessage) -> Any:
        """Return the message object of serialised bytes, by the bag's own message definitions."""
        return self._guard(
            lambda: self._reader.deserialize(raw.data, raw.msgtype),
            f"decode a {raw.msgtype} on {raw.topic} of",
        )

    def _define_missing(self) -> None:
        # A recorder leaves out the definitions that it did not find, of well-known types too.
        found, known = self._reader.typestore, typestore().fielddefs
        wanted = {connection.msgtype for connection in self._reader.connections}
        if (wanted - set(found.fielddefs)) & set(known):
            found.register({k: v for k, v in known.items() if k not in found.fielddefs})

    def _connections(self, topics: Collection[str] | None) -> list[Connection]:
        connections = self._reader.connections
        if topics is None:
            return list(connections)
        for name in topics:
            self.topic(name)
        return [connection for connection in connections if connection.topic in topics]

    def _guard(self, action: Callable[[], T], verb: str) -> T:
        # A damaged file fails anywhere in the parsers below, with whatever the bytes provoke.
        try:
            return action()
        except Exception as error:
            detail = str(error) or type(error).__name__
            raise BagError(f"cannot {verb} {self.path} ({detail}): {_REPAIR}") from error


class BagWriter:
    """A new rosbag2 folder; equal messages give equal bytes with mcap storage.

    Use it as a context manager: a bag is complete only after `close`, and an exception inside the
    block removes the unfinished folder. `fast` takes half the time to compress, and a tenth more
    space. Raises BagError when something is already at `path` (unless `overwrite` is set and it is
    a bag) or the folder cannot be written.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        storage: str = "mcap",
        compress: bool = True,
        fast: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        if storage not in _STORAGES:
            raise BagError(f"bag storage {storage!r}: choose one of {', '.join(_STORAGES)}")
        if overwrite and (self.path / "metadata.yaml").is_file():
            shutil.rmtree(self.path)
        # Metadata version 8: the newest that Humble reads as well as everything after it.
        try:
            self._writer = Writer(self.path, version=8, storage_plugin=_STORAGES[storage])
            if compress and storage == "mcap":
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
            if compress and fast and storage == "mcap":
                chunks: Any = self._writer.storage
                chunks.compressor = partial(chunks.compressor, level=_FAST_LEVEL)
        except Exception as error:
            raise BagError(
                f"cannot write a bag at {self.path} ({error}): choose another"
            ) from error
        self._connections: dict[str, Connection] = {}
        self._open = True

    def __enter__(self: W) -> W:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        elif self._open:
            self._open = False
            self._writer.abort()
            shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Finish the files; closing twice is harmless."""
        if self._open:
            self._open = False
            self._writer.close()

    def add_topic(self, topic: str, msgtype: str, *, latched: bool = False) -> None:
        """Announce a topic, so that the bag has it even when no message comes.

        Raises BagError for an unknown message type and for a second type on one topic.
        """
        known = self._connections.get(topic)
        if known is not None:
            if known.msgtype != msgtype:
                raise BagError(f"topic {topic} carries {known.msgtype}: {msgtype} does not fit")
            return
        store = typestore()
        if msgtype not in store.fielddefs:
            raise BagError(
                f"no definition of message type {msgtype!r} for topic {topic}: "
                "leave the topic out or add its .msg files to interfaces/"
            )
        self._connections[topic] = self._writer.add_connection(
            topic, msgtype, typestore=store, offered_qos_profiles=[_offered(latched)]
        )

    def write(
        self, topic: str, msgtype: str, message: Any, stamp_ns: int, *, latched: bool = False
    ) -> bytes | memoryview:
        """Append one message of `typestore().types[msgtype]`; returns it as it was serialised.

        `latched` offers the topic as transient local (``/tf_static``, label info, maps). Raises
        BagError for an unknown type and for fields that do not fit it.
        """
        self.add_topic(topic, msgtype, latched=latched)
        try:
            data = typestore().serialize_cdr(message, msgtype)
        except Exception as error:
            raise BagError(
                f"message for {topic} does not fit {msgtype} ({error}): check its field types"
            ) from error
        self.write_raw(topic, msgtype, data, stamp_ns, latched=latched)
        return data

    def write_raw(
        self,
        topic: str,
        msgtype: str,
        data: bytes | memoryview,
        stamp_ns: int,
        *,
        latched: bool = False,
    ) -> None:
        """Append one message that is serialised already (CDR with its encapsulation header)."""
        if not self._open:
            raise BagError(f"bag {self.path} is closed: write before close()")
        if stamp_ns < 0:
            raise BagError(f"stamp {stamp_ns} on {topic} is negative: give nanoseconds since 1970")
        self.add_topic(topic, msgtype, latched=latched)
        self._writer.write(self._connections[topic], stamp_ns, data)


def _offered(latched: bool) -> Qos:
    forever = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        # Several static transforms may come in several messages: a late subscriber needs them all.
        100 if latched else 10,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


def _latched(connection: Connection) -> bool:
    if getattr(connection.ext, "latching", None):  # ROS 1
        return True
    return any(
        profile.durability is QosDurability.TRANSIENT_LOCAL for profile in _profiles(connection)
    )


def _reliable(connection: Connection) -> bool:
    profiles = _profiles(connection)
    return not profiles or any(
        profile.reliability is not QosReliability.BEST_EFFORT for profile in profiles
    )


def _profiles(connection: Connection) -> Sequence[Qos]:
    # A ROS 1 bag has none.
    return getattr(connection.ext, "offered_qos_profiles", ())
