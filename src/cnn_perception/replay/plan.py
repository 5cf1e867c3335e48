"""What is replayed and how: the topics, the window, and the nodes' parameters, from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, make_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from cnn_perception.components.registry import component_kind, component_kinds
from cnn_perception.errors import ConfigError
from cnn_perception.parameters import DETECTOR, EXPLAINER, MAPPER, SEGMENTER, NodeParameters
from cnn_perception.settings import Config, Kind, SettingError, Text, nearest, setting
from cnn_perception.settings.files import parse, read_yaml
from cnn_perception.settings.parameters import flat

__all__ = [
    "NODES",
    "USUAL_DETECTIONS",
    "USUAL_MASK",
    "CameraTopics",
    "ReplayPlan",
    "Truth",
    "load_plan",
    "node_parameters",
]

USUAL_DETECTIONS, USUAL_MASK = "/ground_truth/detections", "/ground_truth/mask"
"""Topics of the truth, unless others are named."""

NODES: Mapping[str, NodeParameters] = {
    "detector": DETECTOR,
    "segmenter": SEGMENTER,
    "explainer": EXPLAINER,
    "mapper": MAPPER,
}
"""The package's own nodes, by name; a plan may name installed components beside them."""

_CAMERA_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*)?")


@dataclass(frozen=True, slots=True)
class CameraTopics(Config):
    """A camera's topics in a bag; None where it has none, or in a plan: to be found."""

    color: Text | None = setting(None, "Topic of the color images")
    depth: Text | None = setting(None, "Topic of the depth images")
    camera_info: Text | None = setting(None, "Topic of the calibration")


@dataclass(frozen=True, slots=True)
class Truth(Config):
    """Where a recording says what was really there."""

    detections: Text | None = setting(
        None, f"Topic of the true boxes; {USUAL_DETECTIONS} where the bag has it"
    )
    mask: Text | None = setting(None, f"Topic of the true masks; {USUAL_MASK} where the bag has it")
    map: Path | None = setting(None, "The true map: a .bt, .ot or .vox file")


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """How a bag is replayed; the default takes what the bag has and the nodes' own defaults.

    cameras: topics by camera name, empty for the first camera of the bag, whose name is empty;
    clouds: topics of point clouds for the mapper; window_s: start and end, seconds from the bag's
    first message, the end None for all; patience_s: recorded seconds for which a scan waits for its
    transform and an image for its depth; required: nodes that the plan names, whose input must be
    there; parameters: every parameter of the nodes that are replayed, by node name, a node before
    those that read what it publishes; truth: what to measure against, where the bag has it, None
    for nothing; remap: by installed component and then by input, a topic of the bag or of a node,
    empty for none.
    """

    cameras: Mapping[str, CameraTopics] = field(default_factory=dict)
    clouds: tuple[str, ...] = ()
    window_s: tuple[float, float | None] = (0.0, None)
    patience_s: float = 0.5
    required: frozenset[str] = frozenset()
    parameters: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {name: known.complete({}) for name, known in NODES.items()}
    )
    truth: Truth | None = Truth()
    remap: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def others(self) -> tuple[str, ...]:
        """The installed components that are replayed beside the package's own."""
        return tuple(name for name in self.parameters if name not in NODES)

    @property
    def truth_topics(self) -> frozenset[str]:
        """The topics that may hold the truth, which no node is fed with."""
        truth = self.truth or Truth()
        return frozenset({truth.detections or USUAL_DETECTIONS, truth.mask or USUAL_MASK})

    def as_mapping(self) -> dict[str, Any]:
        """Return the whole plan as plain values, by the keys of a file."""
        return {
            "cameras": {name: asdict(each) for name, each in self.cameras.items()},
            "clouds": list(self.clouds) or None,
            "window": {"start": self.window_s[0], "stop": self.window_s[1]},
            "patience": self.patience_s,
            **{
                name: {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in self.parameters[name].items()
                }
                if name in self.parameters
                else False
                for name in (*NODES, *self.others)
            },
            **({"remap": {k: dict(v) for k, v in self.remap.items()}} if self.remap else {}),
            "truth": self.truth is not None
            and {**asdict(self.truth), "map": self.truth.map and str(self.truth.map)},
        }


class _NodeKind(Kind):
    """What a plan says of a node: its parameters, or that it is left out, which is None.

    The parameters are given by name, or as the path of a ROS parameter file.
    """

    nullable = True
    wanted = "its parameters, the path of a ROS parameter file, or false to leave it out"

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, value: Any, folder: Path | None) -> dict[str, Any] | None:
        if value is False or value is None:
            return None
        if isinstance(value, str):
            try:
                given = _ros_parameters((folder or Path()) / value, self.name)
            except ConfigError as error:
                raise SettingError("", f": {error}") from error
        elif isinstance(value, Mapping):
            given = dict(flat(value))
        elif value is True:
            given = {}
        else:
            raise self.misfit(value)
        return node_parameters(self.name).complete(given)

    @property
    def schema(self) -> dict[str, Any]:  # type: ignore[override]
        return {"anyOf": [{"type": ["boolean", "string"]}, node_parameters(self.name).schema()]}


@dataclass(frozen=True, slots=True)
class _Window(Config):
    start: float = setting(0.0, "Seconds from the bag's first message", minimum=0.0)
    stop: float | None = setting(None, "The same, of the end; without it to the bag's", minimum=0.0)

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        if self.stop is not None and self.stop <= self.start:
            raise SettingError("stop", f"= {self.stop:g} is not after start = {self.start:g}")


@dataclass(frozen=True, slots=True)
class _RecordingPart(Config):
    """The keys of a plan that are about the recording."""

    cameras: Mapping[str, CameraTopics] = setting(
        {}, "Topics by camera name; without it the first camera of the bag, whose name is empty"
    )
    clouds: tuple[Text, ...] = setting((), "Topics of point clouds for the mapper")
    window: _Window = setting(_Window(), "The part of the bag that is replayed")
    patience: float = setting(
        0.5,
        "Recorded seconds for which a scan waits for its transform and an image for its depth",
        between=(0.0, 60.0),
    )
    remap: Mapping[str, Mapping[str, Literal[False] | Text]] = setting(
        {}, "Topics of installed components, by component and input; false leaves one without"
    )
    truth: Literal[False] | Truth = setting(
        Truth(), "What to measure against, where the bag has it; false measures nothing"
    )

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        for name in self.cameras:
            if not _CAMERA_NAME.fullmatch(name):
                raise SettingError(
                    "cameras",
                    f"has a camera {name!r}: topics begin with it, so give it a name of letters, "
                    "digits and _ that begins with a letter",
                )


@cache
def plan_file(kinds: tuple[str, ...] = tuple(NODES)) -> type[Config]:
    """Return the declaration of a plan: of the recording, and of each kind of node."""
    nodes = [
        (name, Annotated[Any, _NodeKind(name)], setting(True, f"Parameters of the {name}"))
        for name in kinds
    ]
    return make_dataclass("PlanFile", nodes, bases=(_RecordingPart,), frozen=True, slots=True)


def load_plan(path: Path) -> ReplayPlan:
    """Read a plan. Raises ConfigError naming the bad key.

    Paths of parameter files and of the truth are relative to the plan's folder; those among a
    node's parameters are, as for the node, relative to the working directory.
    """
    tree = read_yaml(path)
    written: Any = parse(tree, plan_file(component_kinds()), path)
    given: Mapping[str, Any] = tree or {}
    others = [name for name in given if name not in NODES and name in component_kinds()]
    named = [name for name in (*NODES, *others) if given.get(name) is not False]
    parameters = {}
    for name in named:
        value = getattr(written, name)
        parameters[name] = value if isinstance(value, dict) else node_parameters(name).complete({})
    _check_remap(path, written.remap, [name for name in named if name not in NODES])
    return ReplayPlan(
        cameras=written.cameras,
        clouds=written.clouds,
        window_s=(written.window.start, written.window.stop),
        patience_s=written.patience,
        required=frozenset(
            name for name in named if given.get(name) is not None or name not in NODES
        ),
        parameters=parameters,
        truth=written.truth or None,
        remap={
            name: {each: topic or "" for each, topic in topics.items()}
            for name, topics in written.remap.items()
        },
    )


def node_parameters(name: str) -> NodeParameters:
    """Return what a node can be told. Raises ConfigError for one that is not installed."""
    return NODES[name] if name in NODES else component_kind(name).parameters


def _check_remap(path: Path, remap: Mapping[str, Any], others: list[str]) -> None:
    for name in remap:
        if name not in others:
            known = nearest(name, others or ["(an installed component of this plan)"])
            raise ConfigError(f"{path}: unknown key remap.{name}: {known}")


def _ros_parameters(path: Path, name: str) -> dict[str, Any]:
    """Read a node's part of a ROS parameter file: what is for every node, and for its name."""
    content = read_yaml(path)
    found: dict[str, Any] = {}
    parts = content.items() if isinstance(content, dict) else ()
    for pattern, part in sorted(parts, key=lambda pair: len(str(pair[0]))):
        if str(pattern).rpartition("/")[2] in (name, "**") and isinstance(part, dict):
            found |= dict(flat(part.get("ros__parameters") or {}))
    if not found:
        raise ConfigError(f"{path} has no ros__parameters of a node {name!r}: name another file")
    return found
