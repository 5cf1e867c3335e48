"""model.yaml: what a good one gives, and that every mistake is one clear line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cnn_perception.errors import ModelError
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.formats.format import DetectionFormat
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.runtime.bundle import file_digest, load_bundle
from cnn_perception.runtime.locate import list_bundles
from cnn_perception.settings import settings
from detector_formats import FORMATS, write_format_bundle
from models import LABELS, write_classifier_bundle, write_detector_bundle, write_segmenter_bundle

Change = Callable[[dict[str, Any]], None]


def _edit(folder: Path, change: Change) -> None:
    file = folder / "model.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _set(path: str, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            content = content[int(key)] if isinstance(content, list) else content[key]
        content[last] = value

    return change


def _drop(path: str) -> Change:
    def change(content: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            content = content[int(key)] if isinstance(content, list) else content[key]
        del content[last]

    return change


def test_a_detector_bundle(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    bundle = load_bundle(folder)
    assert (bundle.name, bundle.version, bundle.task) == ("colors", "1.0", "detection")
    assert bundle.model == folder / "model.onnx"
    assert (bundle.input.width, bundle.input.height) == (128, 96)
    assert bundle.labels == LABELS
    assert isinstance(bundle.output, SsdRawFormat) and bundle.output.name == "ssd_raw"
    assert bundle.output.default_boxes.count == 4 * (48 + 12)
    assert (bundle.thresholds.score, bundle.thresholds.iou) == (0.5, 0.45)
    assert [(g.level, g.first, g.count) for g in bundle.explain] == [(0, 0, 192), (1, 192, 48)]
    assert bundle.palette is None


def test_a_segmenter_bundle_has_its_palette(tmp_path: Path) -> None:
    bundle = load_bundle(write_segmenter_bundle(tmp_path / "areas") / "model.yaml")
    assert bundle.palette is not None
    assert bundle.palette.dtype == np.uint8
    assert bundle.palette[1].tolist() == [200, 30, 30]


def test_the_model_may_lie_elsewhere(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    elsewhere = tmp_path / "other.onnx"
    (folder / "model.onnx").rename(elsewhere)
    _edit(folder, _set("model/file", str(elsewhere)))
    assert load_bundle(folder).model == elsewhere


def test_descriptions_may_span_lines(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    _edit(folder, _set("description", "sees\n  colors\n"))
    _edit(folder, _set("source", "here\nor there"))
    assert load_bundle(folder).description == "sees colors"
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match="get it from here or there and run"):
        load_bundle(folder)


def test_the_documented_examples_load(repository: Path, tmp_path: Path) -> None:
    text = (repository / "docs" / "models.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(name: .*?)```", text, re.DOTALL)
    bundles = {}
    for index, example in enumerate(examples):
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / "model.yaml").write_text(example, encoding="utf-8")
        with pytest.raises(ModelError, match=r"model\.onnx' does not exist"):
            load_bundle(folder)
        (folder / "model.yaml").write_text(re.sub("  sha256.*\n", "", example), encoding="utf-8")
        (folder / "model.onnx").touch()
        bundle = load_bundle(folder)
        bundles[bundle.output.name] = bundle
    assert bundles["boxes_scores"].labels == ("face",)
    assert bundles["yolo_v8"].input.resize == "letterbox"


@pytest.mark.parametrize("form", FORMATS)
def test_suppression_needs_a_threshold_only_where_it_is_needed(tmp_path: Path, form: str) -> None:
    folder = write_format_bundle(tmp_path / form, form, changes={"thresholds": {"score": 0.5}})
    output = OUTPUT_FORMATS[form]
    assert issubclass(output, DetectionFormat)
    if output.final:
        assert load_bundle(folder).thresholds.iou == 1.0
        _edit(folder, _set("thresholds/iou", 0.6))
        assert load_bundle(folder).thresholds.iou == 0.6
    else:
        with pytest.raises(ModelError, match=r"thresholds\.iou is missing"):
            load_bundle(folder)


def test_every_format_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "models.md").read_text(encoding="utf-8")
    for name, form in OUTPUT_FORMATS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert form.task in row
        for word in (*form.shapes, *(known.name for known in settings(form)[1:])):
            assert f"`{word}`" in row


def test_sha256_is_optional(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    _edit(folder, _drop("model/sha256"))
    (folder / "model.onnx").write_bytes(b"other")
    assert load_bundle(folder).model.is_file()


MISTAKES: dict[str, tuple[Change, str]] = {
    "unknown key": (_set("lables", ["a"]), r"unknown key lables: did you mean labels\?"),
    "strange key": (_set("zzz", 1), r"unknown key zzz: known are name, version"),
    "unknown below": (_set("input/widht", 3), r"unknown key input\.widht: did you mean width\?"),
    "foreign key": (_set("output/background", 0), r"unknown key output\.background"),
    "missing key": (_drop("licence"), r"the key licence is missing: add it"),
    "missing below": (_drop("input/mean"), r"the key input\.mean is missing"),
    "version a number": (_set("version", 1.0), r"version = 1\.0: give a text, in quotes"),
    "empty text": (_set("name", "  "), r"name = '  ': give a text"),
    "task": (_set("task", "detektion"), r"task = 'detektion': did you mean detection\?"),
    "task of another format": (_set("task", "segmentation"), r"task = 'segmentation' but"),
    "format": (_set("output/format", "ssd"), r"output\.format = 'ssd': did you mean ssd_raw\?"),
    "format a list": (_set("output/format", ["ssd_raw"]), r"output\.format = \['ssd_raw'\]"),
    "output a text": (_set("output", "ssd"), r"output is 'ssd': give a mapping with the keys"),
    "role": (_set("output/tensors/boxes", "b"), r"unknown key output\.tensors\.boxes"),
    "width": (_set("input/width", 0), r"input\.width = 0: give a whole number, 1 to 8192"),
    "width true": (_set("input/width", True), r"input\.width = True"),
    "channels": (_set("input/channels", "gray"), r"input\.channels = 'gray': choose one of rgb"),
    "mean": (_set("input/mean", [0, 0]), r"input\.mean = \[0, 0\]: give 3 numbers"),
    "mean text": (_set("input/mean", [0, "x", 0]), r"input\.mean\[1\] = 'x': give a number"),
    "mean nan": (_set("input/mean", [0, float("nan"), 0]), r"input\.mean\[1\] = nan"),
    "std zero": (_set("input/std", [1, 0, 1]), r"input\.std\[1\] = 0"),
    "labels a text": (_set("labels", "cat"), r"labels = 'cat': give a list"),
    "labels empty": (_set("labels", []), r"labels is empty"),
    "label number": (_set("labels", ["a", 2]), r"labels\[1\] = 2: give a text"),
    "label twice": (_set("labels", ["a", "a"]), r"labels\[1\] = 'a' is given twice"),
    "palette": (_set("palette", [[0, 0, 0]]), r"palette has 1 colors for 3 labels"),
    "palette range": (
        _set("palette", [[0, 0, 256]] * 3),
        r"palette\[0\]\[2\] = 256: give a whole number, 0 to 255",
    ),
    "threshold": (_set("thresholds/score", 1.5), r"thresholds\.score = 1\.5: give .* from 0 to 1"),
    "threshold missing": (_drop("thresholds/iou"), r"thresholds\.iou is missing"),
    "quality": (_set("quality", "good"), r"quality is 'good': give a mapping"),
    "maps": (
        _set("output/default_boxes/feature_maps", [[6, 8.5], [3, 4]]),
        r"\[0\]\[1\] = 8.5: give a whole number",
    ),
    "scales": (
        _set("output/default_boxes/scales", [0.1]),
        r"default_boxes\.scales has length 1: 2 feature maps need 3",
    ),
    "clip": (_set("output/default_boxes/clip", 1), r"clip = 1: give true or false"),
    "steps": (
        _set("output/default_boxes/steps", [16, 32]),
        r"default_boxes\.steps needs image_size",
    ),
    "variances": (_set("output/variances", [0, 1, 1, 1]), r"variances\[0\] = 0"),
    "no file": (
        _set("model/file", "gone.onnx"),
        r"gone\.onnx' does not exist: get it from .* models add colors FILE'",
    ),
    "hash": (
        _set("model/sha256", "0" * 64),
        r"model\.sha256 = .* but .*model\.onnx has [0-9a-f]{64}",
    ),
    "explain hash": (_set("explain/1/sha256", "0" * 64), r"explain\[1\]\.sha256"),
    "explain file": (_set("explain/0/graph", "gone"), r"explain\[0\]\.graph = .*does not exist"),
    "explain level": (_set("explain/0/level", 7), r"explain\[0\]\.level = 7: .* 0 to 1"),
    "explain twice": (_set("explain/1/level", 0), r"explain\[1\]\.level = 0 is given twice"),
    "anchors": (
        _set("explain/1/anchors", [0, 48]),
        r"anchors = .*: the default boxes .* \[192, 48\]",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(tmp_path: Path, name: str) -> None:
    change, text = MISTAKES[name]
    folder = write_detector_bundle(tmp_path / "colors")
    _edit(folder, change)
    with pytest.raises(ModelError, match=text) as caught:
        load_bundle(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / "model.yaml") in message


def test_explain_graphs_are_not_for_every_output(tmp_path: Path) -> None:
    tensors = {"boxes": "deltas", "labels": "logits", "scores": "logits"}
    final = write_detector_bundle(
        tmp_path / "final", changes={"output": {"format": "torchvision", "tensors": tensors}}
    )
    with pytest.raises(ModelError, match=r"explain cannot be used with .*'torchvision'"):
        load_bundle(final)
    classes = write_classifier_bundle(tmp_path / "classes")
    _edit(classes, _set("explain/0/anchors", [0, 1]))
    with pytest.raises(ModelError, match=r"anchors has no meaning without boxes"):
        load_bundle(classes)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"the file is None: give a mapping"),
        (b"name: a\nname: b\n", r"the key 'name' is given twice"),
        (b"name: [", r"is not valid YAML"),
        (b"\xff\xfe\x00", r"is not valid YAML"),
        (b"{" * 5000, r"is not valid YAML"),
        (b"when: 2020-99-99\n", r"is not valid YAML|unknown key when"),
    ],
)
def test_files_that_are_no_yaml(tmp_path: Path, content: bytes, text: str) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=text) as caught:
        load_bundle(file)
    assert "\n" not in str(caught.value)


def test_digest(tmp_path: Path) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert file_digest(file).startswith("ba7816bf8f01cfea")


def test_shipped_descriptions_are_complete(repository: Path) -> None:
    """Every shipped bundle loads, or lacks only its network and says where to get it."""
    folders = [file.parent for file in (repository / "models").glob("*/model.yaml")]
    assert folders
    for folder in folders:
        try:
            bundle = load_bundle(folder)
        except ModelError as error:
            assert re.search(r"does not exist: get it from https://.* models add", str(error))
        else:
            assert bundle.name == folder.name
            assert "sha256" in yaml.safe_load(bundle.file.read_text(encoding="utf-8"))["model"]
        assert folder.name in list_bundles()
