"""Output tensors against what each detection format promises: one clear line per mistake."""

from __future__ import annotations

import dataclasses

import pytest

from cnn_perception.errors import ModelError
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.runtime.conformance import TensorInfo, check_outputs
from models import write_detector_bundle

Size = int | None
Tensors = dict[str, tuple[tuple[Size, ...], str]]
"""Shape and element type by role; the bundle has three labels."""

F32, I64 = "float32", "int64"

GOOD: dict[str, list[Tensors]] = {
    "boxes_scores": [{"scores": ((1, 8, 3), F32), "boxes": ((1, 8, 4), F32)}],
    "fastestdet": [{"cells": ((1, 8, 22, 22), F32)}],
    "yolo_v5": [{"predictions": ((1, 300, 8), F32)}, {"predictions": ((None, None, 8), F32)}],
    "yolo_v8": [{"predictions": ((1, 7, 300), F32)}, {"predictions": ((1, 7, None), F32)}],
    "torchvision": [
        {"boxes": ((5, 4), F32), "labels": ((5,), I64), "scores": ((5,), F32)},
        {"boxes": ((0, 4), F32), "labels": ((0,), I64), "scores": ((0,), F32)},
        {"boxes": ((None, 4), F32), "labels": ((None,), I64), "scores": ((None,), F32)},
    ],
    "detr": [
        {"logits": ((1, 100, 4), F32), "boxes": ((1, 100, 4), F32)},
        {"logits": ((None, None, 4), F32), "boxes": ((None, 100, 4), F32)},
    ],
}

MISTAKES: dict[str, tuple[str, Tensors, str]] = {
    "v8 taken for v5": (
        "yolo_v5",
        {"predictions": ((1, 7, 300), F32)},
        r"'predictions' .* is float32 \[1, 7, 300\] but output\.yolo_v5 with 3 labels needs "
        r"float32 \[1, N, 8\]",
    ),
    "v5 taken for v8": ("yolo_v8", {"predictions": ((1, 300, 8), F32)}, r"needs float32 \[1, 7, N"),
    "v8 exported with suppression": (
        "yolo_v8",
        {"predictions": ((1, 300, 6), F32)},
        r"\[1, 300, 6\] but output\.yolo_v8 .* \[1, 7, N\]",
    ),
    "other labels": ("yolo_v8", {"predictions": ((1, 84, 300), F32)}, r"with 3 labels needs"),
    "half precision": ("yolo_v8", {"predictions": ((1, 7, 300), "float16")}, r"is float16"),
    "a batch": (
        "torchvision",
        {"boxes": ((1, 5, 4), F32), "labels": ((1, 5), I64), "scores": ((1, 5), F32)},
        r"'boxes' .* \[1, 5, 4\] but output\.torchvision .* needs float32 \[N, 4\]",
    ),
    "labels as floats": (
        "torchvision",
        {"boxes": ((5, 4), F32), "labels": ((5,), F32), "scores": ((5,), F32)},
        r"'labels' .* is float32 \[5\] but .* needs int64 \[5\]",
    ),
    "counts that differ": (
        "torchvision",
        {"boxes": ((5, 4), F32), "labels": ((5,), I64), "scores": ((6,), F32)},
        r"'scores' .* \[6\] but .* needs float32 \[5\]",
    ),
    "no no-object": (
        "detr",
        {"logits": ((1, 100, 3), F32), "boxes": ((1, 100, 4), F32)},
        r"'logits' .* \[1, 100, 3\] but output\.detr with 3 labels needs float32 \[1, Q, 4\]",
    ),
    "queries that differ": (
        "detr",
        {"logits": ((1, 100, 4), F32), "boxes": ((1, 300, 4), F32)},
        r"'boxes' .* \[1, 300, 4\] but .* needs float32 \[1, 100, 4\]",
    ),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    folder = tmp_path_factory.mktemp("models") / "colors"
    return load_bundle(write_detector_bundle(folder, explain=False))


def _check(bundle: ModelBundle, form: str, tensors: Tensors, background: int | None = None) -> None:
    options = {} if background is None else {"background": background}
    output = OUTPUT_FORMATS[form]({role: role for role in tensors}, **options)
    infos = [TensorInfo(name, dtype, shape) for name, (shape, dtype) in tensors.items()]
    check_outputs(dataclasses.replace(bundle, output=output), infos)


@pytest.mark.parametrize("form", GOOD)
def test_what_each_format_promises(bundle: ModelBundle, form: str) -> None:
    for tensors in GOOD[form]:
        assert set(tensors) == set(OUTPUT_FORMATS[form].shapes)
        _check(bundle, form, tensors)


def test_every_detection_format_is_here() -> None:
    formats = {name for name, form in OUTPUT_FORMATS.items() if form.task == "detection"}
    assert formats == {*GOOD, "ssd_raw"}  # ssd_raw: with real networks, in test_session.py


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(bundle: ModelBundle, name: str) -> None:
    form, tensors, text = MISTAKES[name]
    with pytest.raises(ModelError, match=text) as caught:
        _check(bundle, form, tensors)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["boxes_scores", "torchvision"])
def test_a_background_beyond_the_classes(bundle: ModelBundle, form: str) -> None:
    tensors = dict(GOOD[form][0])
    if form == "boxes_scores":
        tensors["scores"] = ((1, 8, 4), F32)
    for background in (0, 3):
        _check(bundle, form, tensors, background)
    text = r"output\.background = 4 but 3 labels and a background are numbered 0 to 3"
    with pytest.raises(ModelError, match=text):
        _check(bundle, form, tensors, 4)
