"""What a component is: a node without ROS and without a thread, which any host can run.

A host (`ros.host` on a robot, `replay.host` over a recording) makes it, hands it the messages of
its inputs one after the other, tells it how time goes on, and publishes or records what it yields.
`docs/components.md` leads from here to a node of your own.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from cnn_perception.errors import ConfigError
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.encode import Encoder
from cnn_perception.messages.frame import Frame
from cnn_perception.parameters import NodeConfig, NodeParameters, read
from cnn_perception.runtime.inference import InferencePool
from cnn_perception.settings import Config

__all__ = [
    "Component",
    "Done",
    "Event",
    "Frame",
    "Input",
    "Output",
    "Service",
    "Setup",
    "Timer",
    "Topic",
    "undeclared",
]

C = TypeVar("C", bound=Config)

_IMAGE = "sensor_msgs/msg/Image"
_REPEAT_LOG_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """A message for a topic that the component declares.

    frame: what it was made of, where that is not the message in hand.
    """

    topic: str
    message: Any
    frame: Frame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What became of a frame: processed, or dropped for an error.

    found: how many objects, classes or answers; compute_s: seconds that the core itself took.
    """

    frame: Frame
    found: int = 0
    compute_s: float = 0.0
    error: Exception | None = None


Event = Output | Done


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """A topic that a component reads.

    name: relative, to be remapped; take: what handles a message, whose exceptions drop it under
    their reason. Messages are counted as frames unless `counted` is false: received = processed +
    dropped, and the newest replaces one that still waits. A frame is processed when `take` ends,
    or, if it `waits`, when the component says Done. lazy: a partner of frames, which is needed only
    just before one is handled or while one waits. decode: how the pixels are read, which a host may
    do ahead. transport: ``compressed`` reads <name>/<suffix> instead, as image_transport does.
    """

    name: str
    msgtype: str
    take: Callable[[Frame], Iterable[Event]]
    counted: bool = True
    waits: bool = False
    lazy: bool = False
    latched: bool = False
    decode: Callable[[Frame], Any] | None = None
    transport: str = "raw"
    suffix: str = "compressed"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that a component publishes; ``~/name`` is private to the node.

    latched: the last message is kept for late readers; depth: how many are kept for slow ones;
    recorded: a replay writes it too, and counts as its reader; every_frame: each processed frame
    has one message on it, which every replay is held to, unless it is latched.
    """

    name: str
    msgtype: str
    latched: bool = False
    depth: int = 5
    recorded: bool = True
    every_frame: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A service of a component; only live.

    answer: fills in the response; what it raises becomes the response's `message`, where it has
    one. It runs between two frames. concurrent: beside them instead, and again when a transform
    that was missing comes within patience_s() seconds. later: a question that waits when the node
    is deactivated is answered all the same; false: it is refused.
    """

    name: str
    srvtype: str
    answer: Callable[[Any, Any], None]
    concurrent: bool = False
    patience_s: Callable[[], float] = lambda: 0.0
    later: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Timer:
    """What happens every period_s seconds, between two frames, of an active node; only live."""

    period_s: float
    run: Callable[[], Iterable[Output]]


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What a host gives to a component.

    name: the node's, with its namespace in a replay; values: its parameters by their ROS names;
    encode: makes messages; reads: whether somebody reads a topic; networks: those of the process;
    transforms: the robot's frames; patience_ns: how long frames wait for partners, None for what
    the parameters say; timeless: no clock is to be looked at, so answers take the time they need.
    """

    name: str
    values: Mapping[str, Any]
    encode: Encoder
    reads: Callable[[str], bool] = lambda topic: True
    networks: InferencePool = field(default_factory=InferencePool)
    transforms: TransformBuffer = field(default_factory=TransformBuffer)
    patience_ns: int | None = None
    timeless: bool = False
    log: logging.Logger | logging.LoggerAdapter[logging.Logger] = field(
        default_factory=lambda: logging.getLogger("cnn_perception")
    )


def undeclared(topic: str, known: Iterable[str]) -> ConfigError:
    """Return the error of an Output on a topic that its component does not declare."""
    return ConfigError(f"{topic!r} is not among the outputs(): declare it beside {list(known)}")


class Component(ABC):
    """A node. Making one loads what it needs, and raises PerceptionError where that fails.

    kind: its usual name; parameters: all that it can be told, to be read with `config`;
    drop_reasons: what the reasons of its own MessageErrors mean, beside `messages.DROP_REASONS`;
    uses_transforms: whether it looks up `transforms`; silence_s: seconds without a processed frame
    after which a host says what is missing. Its methods are called by one thread at a time, `admit`
    and `vet` beside it.
    """

    kind: ClassVar[str]
    parameters: ClassVar[NodeParameters] = NodeParameters(())
    drop_reasons: ClassVar[Mapping[str, str]] = {}
    uses_transforms: ClassVar[bool] = False
    silence_s: float = 2.0

    def __init__(self, setup: Setup) -> None:
        self.name, self.encode, self.reads = setup.name, setup.encode, setup.reads
        self.transforms, self.log = setup.transforms, setup.log
        self._setup = setup
        self._values = setup.values
        self._configs: dict[type[Config], Config] = {}
        self._last_log: dict[str, float] = {}

    def config(self, config: type[C]) -> C:
        """Return the parameters as one of their classes."""
        if config not in self._configs:
            self._configs[config] = read(self._values, config)
        found: Any = self._configs[config]
        return found  # type: ignore[no-any-return]

    # --- what it reads, publishes and offers

    @abstractmethod
    def inputs(self) -> Sequence[Input]:
        """Return the topics to subscribe to."""

    @abstractmethod
    def outputs(self) -> Sequence[Topic]:
        """Return the topics that it publishes."""

    def services(self) -> Sequence[Service]:
        """Return the services that it offers."""
        return ()

    def timers(self) -> Sequence[Timer]:
        """Return what it does from time to time."""
        return ()

    # --- frames and time

    def announce(self) -> Iterator[Output]:
        """Yield what is published when it begins to listen."""
        yield from ()

    def admit(self, frame: Frame) -> str:
        """Return the reason for which a frame need not be handled, or nothing."""
        return ""

    @property
    def deadline_ns(self) -> int | None:
        """When `advance` is due at the latest, on the frames' clock; None: no frame waits."""
        return None

    def advance(self, now_ns: int) -> Iterator[Event]:
        """Yield what follows from time going on, or from transforms that came."""
        yield from ()

    def rewind(self, stamp_ns: int) -> Iterator[Event]:
        """Forget what lies after a stamp, to which time went back; yields what is lost by it."""
        yield from ()

    def finish(self) -> Iterator[Event]:
        """Yield what is left to say at the end of a recording: nothing more will come."""
        yield from ()

    def stop(self) -> Sequence[Frame]:
        """Hear that the node stops listening; returns the frames that wait, which are dropped."""
        return ()

    def close(self) -> None:  # noqa: B027  # most have nothing to do
        """Let go of what was loaded; the component is not used any more."""

    # --- what it is told, and what it says of itself

    def vet(self, values: Mapping[str, Any]) -> None:  # noqa: B027
        """Raise ConfigError for parameters, by name, that are good one by one but not together."""

    def retune(self, values: Mapping[str, Any]) -> None:
        """Take over changed parameters, between two frames."""
        self._values = values
        self._configs = {}
        self.reconfigure()

    def reconfigure(self) -> None:  # noqa: B027
        """Hear that live parameters changed, to be read with `config`."""

    def describe(self) -> dict[str, Any]:
        """Return what diagnostics say of it, and metrics.json too: model, provider, counts ..."""
        return {}

    def summarise(self) -> dict[str, Any]:
        """Return what metrics.json says of it at the end of a recording."""
        return self.describe()

    # --- for subclasses

    def image_input(
        self, name: str, take: Callable[[Frame], Iterable[Event]], **more: Any
    ) -> Input:
        """Return an input of images, raw or compressed as `image_transport` says."""
        transport = self.config(NodeConfig).image_transport
        return Input(name, _IMAGE, take, **{"transport": transport, **more})

    def patience_ns(self, seconds: float) -> int:
        """Return how long to wait for a partner: so many seconds, or what the host says."""
        given = self._setup.patience_ns
        return round(seconds * 1e9) if given is None else given

    def warn_rarely(self, key: str, text: str) -> None:
        """Log a warning, at most once in five seconds for each key."""
        now = time.monotonic()
        if now - self._last_log.get(key, -_REPEAT_LOG_S) >= _REPEAT_LOG_S:
            self._last_log[key] = now
            self.log.warning(text)
