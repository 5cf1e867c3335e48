"""Model bundles: a network, and a model.yaml that says everything needed to use it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.errors import ModelError
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.formats.format import DetectionFormat, OutputFormat
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.runtime.locate import find_bundle, list_bundles
from cnn_perception.settings import (
    REQUIRED,
    Config,
    Line,
    SettingError,
    Text,
    missing,
    setting,
    settings,
    unknown,
)
from cnn_perception.settings.files import load
from cnn_perception.types import UInt8Array

__all__ = [
    "BundleFile",
    "ExplainGraph",
    "InputSpec",
    "ModelBundle",
    "Thresholds",
    "file_digest",
    "list_bundles",
    "load_bundle",
]

_HIGHEST_LEVEL = 63


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The model's own thresholds, used where the configuration does not set others."""

    score: float = 0.0
    iou: float = 0.45


@dataclass(frozen=True, slots=True)
class ExplainGraph:
    """An ONNX graph that holds the backward pass of a head, for Grad-CAM without PyTorch.

    level: the feature map level whose boxes it explains; file: the graph; feature_map: the tensor
    of the network that it reads; first and count: the boxes of the level, by row of the output.
    """

    level: int
    file: Path
    feature_map: str
    first: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class _NetworkEntry(Config):
    """The mapping ``model`` of a model.yaml."""

    file: Path = setting(REQUIRED, "The network, an ONNX file")
    sha256: Text | None = setting(None, "What sha256sum says of it; compared when present")


@dataclass(frozen=True, slots=True)
class _ThresholdsEntry(Config):
    """The mapping ``thresholds`` of a model.yaml."""

    score: float = setting(REQUIRED, "Lowest score of an answer", between=(0.0, 1.0))
    iou: float | None = setting(
        None,
        "Overlap above which the weaker of two boxes of a class is dropped; for detection, but "
        "optional for formats whose answers need no suppression",
        between=(0.0, 1.0),
    )


@dataclass(frozen=True, slots=True)
class _GraphEntry(Config):
    """One entry of the list ``explain`` of a model.yaml."""

    level: int = setting(
        REQUIRED,
        "Feature map level whose boxes it explains; 0 for other tasks",
        between=(0, _HIGHEST_LEVEL),
    )
    graph: Path = setting(REQUIRED, "The graph, an ONNX file")
    feature_map: Text = setting(REQUIRED, "Tensor of the network that the graph reads")
    sha256: Text | None = setting(None, "What sha256sum says of the graph")
    anchors: tuple[int, int] | None = setting(
        None,
        "Detection: [first, count] of the level's boxes, by row of the output",
        between=(0, 10**12),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description(Config):
    """What a model.yaml says of its network, and a bundle after it."""

    name: Line = setting(REQUIRED, "The bundle's name; use the folder's")
    version: Line = setting(REQUIRED, 'A text: "1.0"')
    task: str = setting(
        REQUIRED,
        "What the network does",
        choices=tuple(dict.fromkeys(form.task for form in OUTPUT_FORMATS.values())),
    )
    description: Line = setting(REQUIRED, "What it finds, in a line")
    licence: Line = setting(REQUIRED, "Under which terms it may be used")
    source: Line = setting(REQUIRED, "Where it came from")
    input: InputSpec = setting(REQUIRED, "What the network takes")
    output: OutputFormat = setting(REQUIRED, "What the network answers")
    labels: tuple[Text, ...] = setting(
        REQUIRED,
        "Names; the index is the class id. Detectors have no entry for the background, segmenters "
        "have one for every class in the mask",
    )
    limits: Line = setting("", "What it is not made for, one line")
    history: Line = setting(
        "", "How the weights came to be, where the training plan does not tell it all"
    )
    quality: Mapping[str, Any] = setting({}, "What was measured, on what, by name")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile(_Description):
    """A model.yaml as it is written; `load_bundle` compares it with itself and with the files."""

    model: _NetworkEntry = setting(REQUIRED, "The network and its hash")
    palette: tuple[tuple[int, int, int], ...] | None = setting(
        None, "[red, green, blue] for each label", between=(0, 255)
    )
    thresholds: _ThresholdsEntry | None = setting(
        None, "The model's own thresholds; needed for detection, optional for classification"
    )
    explain: tuple[_GraphEntry, ...] = setting((), "Graphs for Grad-CAM without PyTorch")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ModelBundle(_Description):
    """A checked model.yaml and the files beside it.

    file: the model.yaml; model: the network; palette: uint8 (labels, 3) RGB or None.
    """

    file: Path
    model: Path
    palette: UInt8Array | None
    thresholds: Thresholds
    explain: tuple[ExplainGraph, ...] = ()


def load_bundle(name_or_path: str | Path) -> ModelBundle:
    """Return a bundle given by name (see `search_path`), by folder or by model.yaml.

    Raises ModelError, one line, for unknown, missing and wrong values, for files that are missing
    or do not have the recorded sha256. The network itself is checked by `Session`.
    """
    file = find_bundle(name_or_path)
    written = load(file, BundleFile, ModelError)
    try:
        return _bundle(file, written)
    except SettingError as error:
        raise ModelError(f"{file}: {error}") from error


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _bundle(file: Path, written: BundleFile) -> ModelBundle:
    """Compare the parts of a model.yaml with each other and with the files that it names."""
    output = written.output
    if output.task != written.task:
        raise SettingError(
            "task", f"= {written.task!r} but output.format = {output.name!r} is for {output.task}"
        )
    remedy = f"get it from {written.source} and run 'cnn-perception models add {file.parent.name} "
    _check_file("model.file", written.model.file, written.model.sha256, f"{remedy}FILE'")
    shared = {known.name: getattr(written, known.name) for known in settings(_Description)}
    return ModelBundle(
        **shared,
        file=file,
        model=written.model.file,
        palette=_palette(written),
        thresholds=_thresholds(written),
        explain=_explain(written),
    )


def _check_file(key: str, path: Path, sha256: str | None, remedy: str) -> None:
    """Raise SettingError unless a file is there and has the sha256 that is recorded."""
    if not path.is_file():
        raise SettingError(key, f"= {str(path)!r} does not exist: {remedy}")
    if sha256 is not None:
        try:
            actual = file_digest(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        if actual != sha256.lower():
            raise SettingError(
                f"{key.rpartition('.')[0]}.sha256",
                f"= {sha256!r} but {path} has {actual}: fetch the file again, or record this "
                "value if you trust the file",
            )


def _palette(written: BundleFile) -> UInt8Array | None:
    if written.palette is None:
        return None
    colors, labels = len(written.palette), len(written.labels)
    if colors != labels:
        raise SettingError(
            "palette", f"has {colors} colors for {labels} labels: give one for each label"
        )
    return np.array(written.palette, np.uint8)


def _thresholds(written: BundleFile) -> Thresholds:
    given, output = written.thresholds, written.output
    if not isinstance(output, DetectionFormat):
        if given is None:
            return Thresholds()
        if given.iou is not None:
            raise unknown("iou", ["score"]).below("thresholds")
        return Thresholds(given.score)
    if given is None or (given.iou is None and not output.final):
        raise missing("thresholds" if given is None else "thresholds.iou")
    return Thresholds(given.score, 1.0 if given.iou is None else given.iou)


def _explain(written: BundleFile) -> tuple[ExplainGraph, ...]:
    output = written.output
    if written.explain and not output.is_explained:
        raise SettingError(
            "explain", f"cannot be used with output.format {output.name!r}: remove it"
        )
    boxes, graphs = output.boxes_per_level, list[ExplainGraph]()
    detects = isinstance(output, DetectionFormat)
    highest = len(boxes) - 1 if boxes is not None else _HIGHEST_LEVEL * detects
    for index, entry in enumerate(written.explain):
        level, key = entry.level, f"explain[{index}]"
        if level > highest:
            raise SettingError(f"{key}.level", f"= {level}: give a whole number, 0 to {highest}")
        if any(graph.level == level for graph in graphs):
            raise SettingError(f"{key}.level", f"= {level} is given twice: remove one")
        remedy = "fetch the bundle again, or remove this graph"
        _check_file(f"{key}.graph", entry.graph, entry.sha256, remedy)
        try:
            first, count = _anchors(entry, boxes, detects=detects)
        except SettingError as error:
            raise error.below(key) from error
        graphs.append(ExplainGraph(level, entry.graph, entry.feature_map, first, count))
    levels = sorted(graphs, key=lambda graph: graph.level)
    for lower, upper in itertools.pairwise(levels):
        if upper.level == lower.level + 1 and upper.first != lower.first + lower.count:
            raise SettingError(
                "explain",
                f"says that level {lower.level} ends before box {lower.first + lower.count} and "
                f"level {upper.level} starts at {upper.first}: make the graphs anew",
            )
    return tuple(graphs)


def _anchors(
    entry: _GraphEntry, boxes: tuple[int, ...] | None, *, detects: bool
) -> tuple[int, int]:
    """Return (first, count) of a level's boxes, compared with those of all levels if known."""
    if not detects:
        if entry.anchors is not None:
            raise SettingError("anchors", "has no meaning without boxes: remove it")
        return 0, 0
    if entry.anchors is None:
        raise missing("anchors")
    if boxes is not None:
        expected = (sum(boxes[: entry.level]), boxes[entry.level])
        if entry.anchors != expected:
            raise SettingError(
                "anchors",
                f"= {list(entry.anchors)}: the default boxes of this level are {list(expected)}",
            )
    return entry.anchors
