"""What a node of a replay is: messages of a bag in; answers, each with its account, out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cnn_perception.errors import MessageError
from cnn_perception.messages import drop_reason
from cnn_perception.messages.decode import decode_color
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagMessage
from cnn_perception.replay.run import PROCESSED, FrameRecord
from cnn_perception.types import UInt8Array

__all__ = ["Answer", "Arrival", "Output", "ReplayNode"]


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """A message that the live node would publish."""

    topic: str
    msgtype: str
    message: Any
    latched: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What became of a message: outputs, at the time of its record; the line of frames.csv.

    No record: the outputs belong to a message whose record is there already.
    """

    recorded_ns: int
    outputs: tuple[Output, ...] = ()
    record: FrameRecord | None = None


class Arrival:
    """A message of a bag; if it is a colour image, its pixels, decoded once for all nodes.

    seconds: how long decoding took.
    """

    __slots__ = ("_pixels", "item", "seconds")

    def __init__(self, item: BagMessage, *, color: bool = False) -> None:
        self.item = item
        self._pixels: UInt8Array | MessageError | None = None
        start = time.perf_counter()
        if color:
            try:
                self._pixels = decode_color(item.message)
            except MessageError as error:
                self._pixels = error
        self.seconds = time.perf_counter() - start

    def pixels(self) -> UInt8Array:
        """Return the colour image, RGB uint8 (H, W, 3). Raises MessageError if it is none."""
        if self._pixels is None:
            raise TypeError(f"{self.item.topic} was not decoded as a colour image")
        if isinstance(self._pixels, MessageError):
            raise self._pixels
        return self._pixels


class ReplayNode(ABC):
    """A node's core object between a bag's messages and the messages that it would publish.

    name: as in the results' topics, without the leading slash; main_topics: those whose messages it
    answers, each with a record.
    """

    name: str
    main_topics: tuple[str, ...]

    @property
    @abstractmethod
    def inputs(self) -> frozenset[str]:
        """The topics of which `take` wants every message, in recorded order."""

    def announce(self) -> tuple[Output, ...]:
        """Return what is published at the start, latched."""
        return ()

    @abstractmethod
    def take(self, arrival: Arrival) -> Iterator[Answer]:
        """Yield what the message leads to, now."""

    def finish(self) -> Iterator[Answer]:
        """Yield what is left at the end of the bag."""
        yield from ()

    def rewind(self, stamp_ns: int) -> Iterator[Answer]:
        """Forget what lies after a stamp, to which time went back; yields what is lost by it."""
        yield from ()

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what metrics.json says of the node beside its account."""

    def _output(self, name: str, msgtype: str, message: Any, *, latched: bool = False) -> Output:
        return Output(f"/{self.name}/{name}", msgtype, message, latched)

    def _processed(self, item: BagMessage, seconds: float, found: int) -> FrameRecord:
        stamp_ns = stamp_to_ns(item.message.header.stamp)
        milliseconds = round(seconds * 1e3, 3)
        return FrameRecord(
            self.name, item.topic, stamp_ns, item.stamp_ns, PROCESSED, milliseconds, found
        )

    def _dropped(self, item: BagMessage, error: Exception) -> Answer:
        reason, detail = drop_reason(error), str(error)
        if reason == "internal_error":
            detail = f"{type(error).__name__}: {error}"
        stamp_ns = stamp_to_ns(item.message.header.stamp)
        record = FrameRecord(
            self.name, item.topic, stamp_ns, item.stamp_ns, reason, detail=" ".join(detail.split())
        )
        return Answer(item.stamp_ns, record=record)
