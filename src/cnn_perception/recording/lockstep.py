"""A bag in steps: which messages go out together, and which answers to wait for. No ROS.

A step has the gated messages (images, clouds) of one header stamp, at most one of each topic, so
that a node that keeps only the newest image loses none. Other messages go with the step before
which they were recorded, or with an earlier one that they follow closely.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from cnn_perception.errors import BagError, ConfigError, MessageError
from cnn_perception.messages.stamps import header_stamp_ns
from cnn_perception.recording.bag import BagReader, RawBagMessage
from cnn_perception.recording.timeline import PlayOptions, played_messages, played_window

__all__ = [
    "GATED_TYPES",
    "LockstepOptions",
    "MissingOutput",
    "Step",
    "awaited_of",
    "inputs_of_outputs",
    "lockstep",
]

GATED_TYPES = (
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/PointCloud2",
)
"""Message types of the topics that are gated unless others are named."""

_IMAGES = GATED_TYPES[:2]


@dataclass(frozen=True, slots=True)
class LockstepOptions:
    """What a step waits for.

    outputs: topics to wait for, each with the recorded topic that it answers or "" for the obvious
    one (see `inputs_of_outputs`); gates: recorded topics that are held back until all have answered
    the step before, None for all images and clouds that someone listens to; run_ahead_ns: how much
    of the other topics is sent before waiting, in recorded time; patience_s: most seconds to wait.
    """

    outputs: Mapping[str, str]
    gates: frozenset[str] | None = None
    run_ahead_ns: int = 500_000_000
    patience_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ConfigError("lockstep waits for nothing: name at least one output to await")
        if self.run_ahead_ns < 0:
            raise ConfigError(f"run-ahead {self.run_ahead_ns / 1e9} s must not be negative")
        if not (math.isfinite(self.patience_s) and self.patience_s > 0):
            raise ConfigError(f"patience {self.patience_s} s is not positive: 10 is usual")


@dataclass(frozen=True, slots=True)
class Step:
    """Messages to send, in this order, before waiting.

    stamp_ns: header stamp of the gated ones; recorded_ns: when the first of these was recorded;
    loop counts from 0; gated: their topics, empty for what is left after the last image.
    """

    loop: int
    recorded_ns: int
    stamp_ns: int
    gated: frozenset[str]
    messages: tuple[RawBagMessage, ...]


@dataclass(frozen=True, slots=True)
class MissingOutput:
    """An awaited output that did not come in time; stamp_ns: the header stamp of its image."""

    topic: str
    stamp_ns: int
    loop: int


def inputs_of_outputs(outputs: Mapping[str, str], gates: Mapping[str, str]) -> dict[str, str]:
    """Return the gated topic that each output answers.

    gates: message types by gated topic. An output without a topic answers the only gated one, else
    the only color image among them (one without "depth" in its name). Raises ConfigError where
    that is none or several, and for a topic that is not gated.
    """
    found = {}
    for output, given in outputs.items():
        colors = [n for n, kind in gates.items() if kind in _IMAGES and "depth" not in n.lower()]
        choices = [given] if given else list(gates) if len(gates) == 1 else colors
        if len(choices) != 1 or choices[0] not in gates:
            wrong = f"answers {given!r}, which is not gated" if given else "may answer any"
            raise ConfigError(
                f"awaited {output} {wrong} of {', '.join(gates) or 'no gated topics'}: say which, "
                f"--await {output}=/its/image"
            )
        found[output] = choices[0]
    return found


def awaited_of(step: Step, inputs: Mapping[str, str]) -> Counter[tuple[str, int]]:
    """Return how often each output (topic, header stamp) is expected after a step."""
    return Counter((output, step.stamp_ns) for output, gate in inputs.items() if gate in step.gated)


def lockstep(
    bag: BagReader, options: PlayOptions, gated: Collection[str], run_ahead_ns: int
) -> Iterator[Step]:
    """Yield the steps of all loops; rate and clock rate of the options do not matter.

    The options' duration ends the steps; what others recorded within `run_ahead_ns` after the last
    image still goes with it. Raises BagError for a gated message without a header, and as
    `timeline`.
    """
    _, end_ns = played_window(bag, options)
    loops = itertools.count() if options.loops == 0 else range(options.loops)
    for loop in loops:
        messages = played_messages(bag, options, end_ns + run_ahead_ns)
        nothing = True
        for step in _LoopSteps(messages, gated, run_ahead_ns, end_ns, loop):
            yield step
            nothing = False
        if nothing:  # nor will there be anything in the next loop, of which there may be no last
            return


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A message that was read and not yet sent; index: its place in the recording."""

    index: int
    message: RawBagMessage
    stamp_ns: int = 0


@dataclass(slots=True)
class _LoopSteps:
    """The steps of one loop."""

    messages: Iterator[RawBagMessage]
    gated: Collection[str]
    run_ahead_ns: int
    end_ns: int
    loop: int
    _images: deque[_Waiting] = field(default_factory=deque)
    _others: list[_Waiting] = field(default_factory=list)
    _next: RawBagMessage | None = None
    _read: int = 0

    def __iter__(self) -> Iterator[Step]:
        self._next = next(self.messages, None)
        while True:
            while not self._images and self._next is not None:
                self._take()
            if not self._images:
                break
            head = self._images[0]
            horizon_ns = head.message.stamp_ns + self.run_ahead_ns
            while self._next is not None and self._next.stamp_ns <= horizon_ns:
                self._take()
            yield self._step(head, self._same_moment(head))
        rest = [each for each in self._others if each.message.stamp_ns < self.end_ns]
        if rest:
            self._others = rest
            yield self._step(rest[0], [])

    def _take(self) -> None:
        """Read one message."""
        message = self._next
        assert message is not None
        self._next = next(self.messages, None)
        self._read += 1
        if message.topic not in self.gated:
            self._others.append(_Waiting(self._read, message))
        elif message.stamp_ns < self.end_ns:
            self._images.append(_Waiting(self._read, message, _header_stamp(message)))

    def _same_moment(self, head: _Waiting) -> list[_Waiting]:
        """Take the images with the head's stamp out of those that wait.

        Only the oldest of each topic: none overtakes another.
        """
        oldest: dict[str, _Waiting] = {}
        for each in self._images:
            oldest.setdefault(each.message.topic, each)
        chosen = [each for each in oldest.values() if each.stamp_ns == head.stamp_ns]
        for each in chosen:
            self._images.remove(each)
        return chosen

    def _step(self, head: _Waiting, images: list[_Waiting]) -> Step:
        sent = sorted([*self._others, *images], key=lambda each: each.index)
        self._others = []
        return Step(
            self.loop,
            head.message.stamp_ns,
            head.stamp_ns,
            frozenset(each.message.topic for each in images),
            tuple(each.message for each in sent),
        )


def _header_stamp(message: RawBagMessage) -> int:
    try:
        return header_stamp_ns(message.data)
    except MessageError as error:
        raise BagError(f"{message.topic} cannot be gated: {error}") from error
