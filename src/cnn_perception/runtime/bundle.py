"""Model bundles: a network, and a model.yaml that says everything needed to use it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.formats.format import DetectionFormat, OutputFormat
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.runtime.locate import find_bundle, list_bundles
from cnn_perception.runtime.section import Section, read_yaml
from cnn_perception.types import UInt8Array

__all__ = [
    "ExplainGraph",
    "InputSpec",
    "ModelBundle",
    "Thresholds",
    "file_digest",
    "list_bundles",
    "load_bundle",
]

_KEYS = (
    *("name", "version", "task", "description", "licence", "source", "model", "input", "output"),
    *("labels", "palette", "thresholds", "limits", "history", "quality", "explain"),
)
_INPUT_KEYS = ("name", "width", "height", "channels", "resize", "shorter_side", "mean", "std")
_EXPLAIN_KEYS = ("level", "graph", "sha256", "feature_map", "anchors")

_HIGHEST_LEVEL = 63

_LARGEST_SIDE = 8192


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


@dataclass(frozen=True, slots=True, eq=False)
class ModelBundle:
    """A checked model.yaml and the files beside it.

    labels: index is the class id; detectors have no entry for the background. palette: uint8
    (labels, 3) RGB or None. limits: what it is not made for, or empty. history: how the weights
    came to be, where a training plan does not tell it all, or empty. quality: what was measured,
    on what; free text and numbers.
    """

    name: str
    version: str
    task: str
    description: str
    licence: str
    source: str
    file: Path
    model: Path
    input: InputSpec
    output: OutputFormat
    labels: tuple[str, ...]
    palette: UInt8Array | None
    thresholds: Thresholds
    limits: str = ""
    history: str = ""
    quality: Mapping[str, Any] = field(default_factory=dict)
    explain: tuple[ExplainGraph, ...] = ()


def load_bundle(name_or_path: str | Path) -> ModelBundle:
    """Return a bundle given by name (see `search_path`), by folder or by model.yaml.

    Raises ModelError, one line, for unknown, missing and wrong values, for files that are missing
    or do not have the recorded sha256. The network itself is checked by `Session`.
    """
    file = find_bundle(name_or_path)
    root = Section(file, "", read_yaml(file), _KEYS)
    name = root.line("name")
    tasks = dict.fromkeys(form.task for form in OUTPUT_FORMATS.values())
    task = root.text("task", tuple(tasks))
    labels = root.texts("labels")
    output = _output(root)
    if output.task != task:
        root.fail("task", f"= {task!r} but output.format = {output.name!r} is for {output.task}")
    source = root.line("source")
    return ModelBundle(
        name=name,
        version=root.line("version"),
        task=task,
        description=root.line("description"),
        licence=root.line("licence"),
        source=source,
        file=file,
        model=_checked_file(
            root.section("model", ("file", "sha256")),
            "file",
            f"get it from {source} and run 'cnn-perception models add {file.parent.name} FILE'",
        ),
        input=_input(root),
        output=output,
        labels=labels,
        palette=_palette(root, len(labels)),
        thresholds=_thresholds(root, output),
        limits=root.line("limits") if "limits" in root else "",
        history=root.line("history") if "history" in root else "",
        quality=_quality(root),
        explain=_explain(root, output),
    )


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _checked_file(section: Section, key: str, remedy: str) -> Path:
    """Return the file named by a key, its sha256 compared where the section records one."""
    path = section.file.parent / Path(section.text(key)).expanduser()
    if not path.is_file():
        section.fail(key, f"= {str(path)!r} does not exist: {remedy}")
    if "sha256" in section:
        expected = section.text("sha256")
        try:
            actual = file_digest(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        if actual != expected.lower():
            section.fail(
                "sha256",
                f"= {expected!r} but {path} has {actual}: fetch the file again, or record this "
                "value if you trust the file",
            )
    return path


def _input(root: Section) -> InputSpec:
    section = root.section("input", _INPUT_KEYS)
    red, green, blue = section.numbers("mean", 3)
    scale_red, scale_green, scale_blue = section.numbers("std", 3, 1e-9)
    try:
        return InputSpec(
            name=section.text("name"),
            width=section.whole("width", 1, _LARGEST_SIDE),
            height=section.whole("height", 1, _LARGEST_SIDE),
            channels=section.text("channels", ("rgb", "bgr")),
            resize=section.text("resize", ("stretch", "letterbox", "crop")),
            shorter_side=section.whole("shorter_side", 1, _LARGEST_SIDE)
            if "shorter_side" in section
            else None,
            mean=(red, green, blue),
            std=(scale_red, scale_green, scale_blue),
        )
    except ConfigError as error:
        raise ModelError(f"{root.file}: input: {error}") from error


def _output(root: Section) -> OutputFormat:
    every_key = {key for form in OUTPUT_FORMATS.values() for key in form.keys}
    section = root.section("output", ("format", "tensors", *sorted(every_key)))
    form = OUTPUT_FORMATS[section.text("format", tuple(OUTPUT_FORMATS))]
    return form.read(root.section("output", ("format", "tensors", *form.keys)))


def _palette(root: Section, count: int) -> UInt8Array | None:
    if "palette" not in root:
        return None
    rows = root.number_lists("palette", 3)
    if len(rows) != count:
        root.fail("palette", f"has {len(rows)} colors for {count} labels: give one for each label")
    colors = np.array(rows)
    if colors.min() < 0 or colors.max() > 255 or (colors % 1).any():
        root.fail("palette", "has a color outside 0 to 255: give red, green, blue as whole numbers")
    return colors.astype(np.uint8)


def _thresholds(root: Section, output: OutputFormat) -> Thresholds:
    detects = isinstance(output, DetectionFormat)
    if not detects and "thresholds" not in root:
        return Thresholds()
    section = root.section("thresholds", ("score", "iou") if detects else ("score",))
    score = section.number("score", 0.0, 1.0)
    if not isinstance(output, DetectionFormat):
        return Thresholds(score)
    if output.final and "iou" not in section:
        return Thresholds(score, 1.0)
    return Thresholds(score, section.number("iou", 0.0, 1.0))


def _quality(root: Section) -> Mapping[str, Any]:
    quality = root.value("quality") if "quality" in root else {}
    if not isinstance(quality, dict) or not all(isinstance(key, str) for key in quality):
        root.fail("quality", "is no mapping: give what was measured, by name")
    return quality


def _explain(root: Section, output: OutputFormat) -> tuple[ExplainGraph, ...]:
    graphs: list[ExplainGraph] = []
    if "explain" in root and not output.is_explained:
        root.fail("explain", f"cannot be used with output.format {output.name!r}: remove it")
    detects, boxes = isinstance(output, DetectionFormat), output.boxes_per_level
    highest = len(boxes) - 1 if boxes is not None else _HIGHEST_LEVEL * detects
    for section in root.sections("explain", _EXPLAIN_KEYS):
        level = section.whole("level", 0, highest)
        if any(graph.level == level for graph in graphs):
            section.fail("level", f"= {level} is given twice: remove one")
        file = _checked_file(section, "graph", "fetch the bundle again, or remove this graph")
        first, count = _anchors(section, level, boxes, detects=detects)
        graphs.append(ExplainGraph(level, file, section.text("feature_map"), first, count))
    levels = sorted(graphs, key=lambda graph: graph.level)
    for lower, upper in itertools.pairwise(levels):
        if upper.level == lower.level + 1 and upper.first != lower.first + lower.count:
            root.fail(
                "explain",
                f"says that level {lower.level} ends before box {lower.first + lower.count} and "
                f"level {upper.level} starts at {upper.first}: make the graphs anew",
            )
    return tuple(graphs)


def _anchors(
    section: Section, level: int, boxes: tuple[int, ...] | None, *, detects: bool
) -> tuple[int, int]:
    """Return the (first, count) of a level's boxes, compared with those of all levels if known."""
    if not detects:
        if "anchors" in section:
            section.fail("anchors", "has no meaning without boxes: remove it")
        return 0, 0
    given = [int(value) for value in section.numbers("anchors", 2, 0)]
    if boxes is not None:
        expected = [sum(boxes[:level]), boxes[level]]
        if given != expected:
            section.fail("anchors", f"= {given}: the default boxes of this level are {expected}")
    return given[0], given[1]
