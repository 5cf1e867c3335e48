"""What is replayed and how: the topics, the window, and the nodes' parameters, from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.parameters import DETECTOR, EXPLAINER, MAPPER, SEGMENTER, NodeParameters
from cnn_perception.runtime.section import Section, read_yaml

__all__ = ["NODES", "CameraTopics", "ReplayPlan", "TruthTopics", "load_plan"]

NODES: Mapping[str, NodeParameters] = {
    "detector": DETECTOR,
    "segmenter": SEGMENTER,
    "explainer": EXPLAINER,
    "mapper": MAPPER,
}
"""What can be replayed, by the nodes' names."""

_KEYS = ("cameras", "clouds", "window", "patience", *NODES, "truth")
_CAMERA_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*)?")
_CAMERA_KEYS = ("color", "depth", "camera_info")


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """A camera's topics in a bag; None where it has none, or in a plan: to be found."""

    color: str | None = None
    depth: str | None = None
    camera_info: str | None = None


@dataclass(frozen=True, slots=True)
class TruthTopics:
    """Where the truth is: topics of boxes (Detection2DArray) and masks, and a map file."""

    detections: str | None = "/ground_truth/detections"
    mask: str | None = "/ground_truth/mask"
    map: Path | None = None


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """How a bag is replayed; the default takes what the bag has and the nodes' own defaults.

    cameras: topics by camera name, empty for the first camera of the bag, whose name is empty;
    clouds: topics of point clouds for the mapper; window_s: start and end, seconds from the bag's
    first message, the end None for all; patience_s: recorded seconds for which a scan waits for its
    transform and an image for its depth; required: nodes that the plan names, whose input must be
    there; parameters: every parameter of the nodes that are replayed, by node name; truth: what to
    measure against, where the bag has it.
    """

    cameras: Mapping[str, CameraTopics] = field(default_factory=dict)
    clouds: tuple[str, ...] = ()
    window_s: tuple[float, float | None] = (0.0, None)
    patience_s: float = 1.0
    required: frozenset[str] = frozenset()
    parameters: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {name: known.complete({}) for name, known in NODES.items()}
    )
    truth: TruthTopics = field(default_factory=TruthTopics)

    def as_mapping(self) -> dict[str, Any]:
        """Return the whole plan as plain values, by the keys of a file."""
        return {
            "cameras": {
                name: {"color": each.color, "depth": each.depth, "camera_info": each.camera_info}
                for name, each in self.cameras.items()
            },
            "clouds": list(self.clouds),
            "window": {"start": self.window_s[0], "stop": self.window_s[1]},
            "patience": self.patience_s,
            **{
                name: {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in self.parameters[name].items()
                }
                if name in self.parameters
                else False
                for name in NODES
            },
            "truth": {
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
        return _plan(Section(path, "", {} if content is None else content, _KEYS), path.parent)
    except ModelError as error:  # what the reader of strict YAML raises
        raise ConfigError(str(error)) from error


def _plan(root: Section, folder: Path) -> ReplayPlan:
    given = {name: root.value(name) if name in root else None for name in NODES}
    return ReplayPlan(
        cameras=_cameras(root),
        clouds=root.texts("clouds") if "clouds" in root else (),
        window_s=_window(root),
        patience_s=root.number("patience", 0.0, 60.0) if "patience" in root else 1.0,
        required=frozenset(name for name, value in given.items() if value not in (None, False)),
        parameters={
            name: _parameters(root, name, value, folder)
            for name, value in given.items()
            if value is not False
        },
        truth=_truth(root, folder),
    )


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


def _truth(root: Section, folder: Path) -> TruthTopics:
    known = TruthTopics()
    if "truth" not in root:
        return known
    if root.value("truth") is False:
        return TruthTopics(None, None, None)
    truth = root.section("truth", ("detections", "mask", "map"))
    return TruthTopics(
        truth.text("detections") if "detections" in truth else known.detections,
        truth.text("mask") if "mask" in truth else known.mask,
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
    known = NODES[name].settings()
    for key, each in given.items():
        if key in known and known[key].is_list and isinstance(each, list):
            given[key] = tuple(each)
    try:
        return NODES[name].complete(given)
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
