"""What is replayed and how: the topics, the window, and the nodes' parameters, from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnn_perception.components.registry import component_kind, component_kinds
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.parameters import DETECTOR, EXPLAINER, MAPPER, SEGMENTER, NodeParameters
from cnn_perception.runtime.section import Section, read_yaml

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

_KEYS = ("cameras", "clouds", "window", "patience", "remap", "truth")
_CAMERA_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*)?")
_CAMERA_KEYS = ("color", "depth", "camera_info")


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """A camera's topics in a bag; None where it has none, or in a plan: to be found."""

    color: str | None = None
    depth: str | None = None
    camera_info: str | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """Where a recording says what was really there.

    detections and mask: topics, None takes the usual ones where the bag has them; map: a .bt, .ot
    or .vox file.
    """

    detections: str | None = None
    mask: str | None = None
    map: Path | None = None


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
            "cameras": {
                name: {"color": each.color, "depth": each.depth, "camera_info": each.camera_info}
                for name, each in self.cameras.items()
            },
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
            and {
                "detections": self.truth.detections,
                "mask": self.truth.mask,
                "map": None if self.truth.map is None else str(self.truth.map),
            },
        }


def load_plan(path: Path) -> ReplayPlan:
    """Read a plan. Raises ConfigError naming the bad key.

    Paths of parameter files and of the truth are relative to the plan's folder; those among a
    node's parameters are, as for the node, relative to the working directory.
    """
    try:
        content = read_yaml(path)
        known = (*_KEYS, *component_kinds())
        return _plan(Section(path, "", {} if content is None else content, known), path.parent)
    except ModelError as error:  # what the reader of strict YAML raises
        raise ConfigError(str(error)) from error


def node_parameters(name: str) -> NodeParameters:
    """Return what a node can be told. Raises ConfigError for one that is not installed."""
    return NODES[name] if name in NODES else component_kind(name).parameters


def _plan(root: Section, folder: Path) -> ReplayPlan:
    others = [name for name in root.keys if name not in (*_KEYS, *NODES)]
    given = {name: root.value(name) if name in root else None for name in (*NODES, *others)}
    return ReplayPlan(
        cameras=_cameras(root),
        clouds=root.texts("clouds") if "clouds" in root else (),
        window_s=_window(root),
        patience_s=root.number("patience", 0.0, 60.0) if "patience" in root else 0.5,
        required=frozenset(name for name, value in given.items() if value not in (None, False)),
        parameters={
            name: _parameters(root, name, value, folder)
            for name, value in given.items()
            if value is not False
        },
        truth=_truth(root, folder),
        remap=_remap(root, others),
    )


def _remap(root: Section, others: list[str]) -> dict[str, dict[str, str]]:
    """Read the topics of inputs; false leaves an input without messages."""
    remap: dict[str, dict[str, str]] = {}
    for name in root.optional("remap", others or ("(an installed component of this plan)",)).keys:
        topics = root.section("remap", others).optional(name)
        remap[name] = {
            key: "" if topics.value(key) is False else topics.text(key) for key in topics.keys
        }
    return remap


def _cameras(root: Section) -> dict[str, CameraTopics]:
    cameras = {}
    if "cameras" in root:
        content = root.value("cameras")
        names = [str(name) for name in content] if isinstance(content, dict) else []
        for name in names:
            if not _CAMERA_NAME.fullmatch(name):
                root.fail(
                    "cameras",
                    f"has a camera {name!r}: topics begin with it, so give it a name of letters, "
                    "digits and _ that begins with a letter",
                )
            topics = root.section("cameras", names).section(name, _CAMERA_KEYS)
            cameras[name] = CameraTopics(
                *(topics.text(key) if key in topics else None for key in _CAMERA_KEYS)
            )
        if not names:
            root.fail("cameras", f"= {content!r}: give each camera a name and its topics")
    return cameras


def _window(root: Section) -> tuple[float, float | None]:
    if "window" not in root:
        return 0.0, None
    window = root.section("window", ("start", "stop"))
    start = window.number("start", 0.0) if "start" in window else 0.0
    stop = window.number("stop", 0.0) if "stop" in window else None
    if stop is not None and stop <= start:
        window.fail("stop", f"= {stop:g} is not after start = {start:g}")
    return start, stop


def _truth(root: Section, folder: Path) -> Truth | None:
    if "truth" not in root:
        return Truth()
    if root.value("truth") is False:
        return None
    truth = root.section("truth", ("detections", "mask", "map"))
    return Truth(
        truth.text("detections") if "detections" in truth else None,
        truth.text("mask") if "mask" in truth else None,
        folder / truth.text("map") if "map" in truth else None,
    )


def _parameters(root: Section, name: str, value: Any, folder: Path) -> dict[str, Any]:
    """Return a node's parameters, given as names and values or as the path of a ROS file."""
    if isinstance(value, str):
        given = _ros_parameters(folder / value, name)
    elif value is None or value is True:
        given = {}
    elif isinstance(value, dict):
        given = dict(_flat(value))
    else:
        root.fail(
            name,
            f"= {value!r}: give its parameters, the path of a ROS parameter file, or false to "
            "leave it out",
        )
    known = node_parameters(name).settings()
    for key, each in given.items():
        if key in known and known[key].is_list and isinstance(each, list):
            given[key] = tuple(each)
    try:
        return node_parameters(name).complete(given)
    except ConfigError as error:
        raise ConfigError(f"{root.file}: {name}: {error}") from error


def _ros_parameters(path: Path, name: str) -> dict[str, Any]:
    """Read a node's part of a ROS parameter file: what is for every node, and for its name."""
    content = read_yaml(path)
    found: dict[str, Any] = {}
    parts = content.items() if isinstance(content, dict) else ()
    for pattern, part in sorted(parts, key=lambda pair: len(str(pair[0]))):
        if str(pattern).rpartition("/")[2] in (name, "**") and isinstance(part, dict):
            found |= dict(_flat(part.get("ros__parameters") or {}))
    if not found:
        raise ConfigError(f"{path} has no ros__parameters of a node {name!r}: name another file")
    return found


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
