"""The decoders of the output formats against slow, obvious versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnn_perception.errors import ModelError
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.formats import format as base
from cnn_perception.formats.boxes_scores import BoxesScoresFormat
from cnn_perception.formats.default_boxes import default_boxes
from cnn_perception.formats.detr import DetrFormat
from cnn_perception.formats.fastestdet import FastestDetFormat
from cnn_perception.formats.format import Candidates, DetectionFormat, OutputFormat, softmax
from cnn_perception.formats.ssd_raw import SsdRawFormat, decode_boxes
from cnn_perception.formats.torchvision import TorchvisionFormat
from cnn_perception.formats.yolo_v5 import YoloV5Format
from cnn_perception.formats.yolo_v8 import YoloV8Format
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from models import write_detector_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return load_bundle(write_detector_bundle(tmp_path_factory.mktemp("models") / "colors"))


Decode = Callable[[Mapping[str, NDArray[Any]], float], Candidates]


def _decoder(bundle: ModelBundle, output: OutputFormat | None = None) -> Decode:
    form = output or bundle.output
    assert isinstance(form, DetectionFormat)
    return lambda tensors, threshold: form.decode(tensors, threshold, bundle)


def test_softmax_is_exact_and_does_not_overflow() -> None:
    logits = np.array([[1e4, 1e4 - 1, -1e4], [0, 0, 0]], np.float32)
    share = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(softmax(logits), [[share, 1 - share, 0], [1 / 3] * 3], rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_ssd_prefilter_loses_nothing(bundle: ModelBundle, threshold: float, spread: float) -> None:
    assert isinstance(bundle.output, SsdRawFormat)
    spec = bundle.output.default_boxes
    rng = np.random.default_rng(4)
    logits = rng.normal(0, spread, (spec.count, 4)).astype(np.float32)
    deltas = rng.normal(0, 1, (spec.count, 4)).astype(np.float32)
    found = _decoder(bundle)({"class_logits": logits, "box_deltas": deltas}, threshold)
    scores = softmax(logits)[:, 1:]
    rows, classes = np.nonzero(scores >= threshold)
    assert found.anchors is not None
    np.testing.assert_array_equal(found.anchors, rows)
    np.testing.assert_array_equal(found.class_ids, classes)
    np.testing.assert_allclose(found.scores, scores[rows, classes], rtol=1e-6)
    boxes = decode_boxes(deltas, default_boxes(spec))
    np.testing.assert_allclose(found.boxes, boxes[rows], rtol=1e-6)


def test_not_a_number_is_no_detection(bundle: ModelBundle) -> None:
    assert isinstance(bundle.output, SsdRawFormat)
    spec = bundle.output.default_boxes
    nothing = np.full((spec.count, 4), np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        found = _decoder(bundle)({"class_logits": nothing, "box_deltas": nothing}, 0.0)
    assert len(found.scores) == 0


def test_only_the_best_go_on(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_MOST_CANDIDATES", 5)
    decode = _decoder(bundle, BoxesScoresFormat({}))
    scores = np.array([[0.1, 0.9], [0.9, 0.2], [0.5, 0.5], [0.3, 0.5]], np.float32)
    found = decode({"scores": scores, "boxes": np.zeros((4, 4), np.float32)}, 0.0)
    assert found.anchors is not None
    pairs = list(zip(found.anchors.tolist(), found.class_ids.tolist(), strict=True))
    assert pairs == [(0, 1), (1, 0), (2, 0), (2, 1), (3, 1)]


@pytest.mark.parametrize("background", [None, 0, 2])
def test_boxes_scores_and_its_background(bundle: ModelBundle, background: int | None) -> None:
    decode = _decoder(bundle, BoxesScoresFormat({}, background=background))
    scores = np.array([[0.6, 0.1, 0.9], [0.2, 0.7, 0.1]], np.float32)
    boxes = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], np.float32)
    found = decode({"scores": scores, "boxes": boxes}, 0.5)
    expected = {
        None: [(0, 0, 0.6), (0, 2, 0.9), (1, 1, 0.7)],
        0: [(0, 1, 0.9), (1, 0, 0.7)],
        2: [(0, 0, 0.6), (1, 1, 0.7)],
    }[background]
    assert found.anchors is not None
    np.testing.assert_array_equal(found.anchors, [row for row, _, _ in expected])
    np.testing.assert_array_equal(found.class_ids, [class_id for _, class_id, _ in expected])
    np.testing.assert_allclose(found.scores, [score for _, _, score in expected])
    np.testing.assert_array_equal(found.boxes, boxes[found.anchors])


@pytest.mark.parametrize("form", ["yolo_v5", "yolo_v8"])
def test_yolo_row_by_row(bundle: ModelBundle, form: str) -> None:
    rng = np.random.default_rng(6)
    boxes = rng.uniform((0, 0, 1, 1), (128, 96, 60, 60), (40, 4))
    objectness, classes = rng.random((40, 1)), rng.random((40, 3))
    rows = np.hstack([boxes, objectness, classes] if form == "yolo_v5" else [boxes, classes])
    tensor = (rows if form == "yolo_v5" else rows.T).astype(np.float32)
    found = _decoder(bundle, OUTPUT_FORMATS[form]({}))({"predictions": tensor}, 0.4)
    expected = []
    for index, ((cx, cy, w, h), (obj,), scores) in enumerate(
        zip(boxes, objectness, classes, strict=True)
    ):
        score = max(scores) * (obj if form == "yolo_v5" else 1.0)
        if score >= 0.4:
            box = ((cx - w / 2) / 128, (cy - h / 2) / 96, (cx + w / 2) / 128, (cy + h / 2) / 96)
            expected.append((*box, score, int(np.argmax(scores)), index))
    assert 5 < len(expected) < 40
    assert found.anchors is not None
    actual = np.column_stack([found.boxes, found.scores, found.class_ids, found.anchors])
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def _rows(found: Candidates) -> list[tuple[float, ...]]:
    assert found.anchors is not None
    table = np.column_stack([found.boxes, found.scores, found.class_ids, found.anchors])
    return [tuple(row) for row in table.round(5).tolist()]


def test_yolo_v5_by_hand(bundle: ModelBundle) -> None:
    rows = [
        [64, 48, 32, 24, 0.5, 0.2, 0.8, 0.1],  # 0.5 * 0.8
        [32, 24, 64, 48, 0.9, 1.0, 0.0, 0.0],
        [32, 24, 64, 48, 0.3, 0.9, 0.9, 0.9],  # 0.27 only
    ]
    decode = _decoder(bundle, YoloV5Format({}))
    assert _rows(decode({"predictions": np.array(rows, np.float32)}, 0.35)) == [
        (0.375, 0.375, 0.625, 0.625, 0.4, 1, 0),
        (0.0, 0.0, 0.5, 0.5, 0.9, 0, 1),
    ]


def test_yolo_v8_by_hand(bundle: ModelBundle) -> None:
    rows = [[64, 48, 32, 24, 0.2, 0.8, 0.1], [0, 96, 64, 48, 0.1, 0.3, 0.36]]
    decode = _decoder(bundle, YoloV8Format({}))
    predictions = np.array(rows, np.float32).T
    assert _rows(decode({"predictions": predictions}, 0.35)) == [
        (0.375, 0.375, 0.625, 0.625, 0.8, 1, 0),
        (-0.25, 0.75, 0.25, 1.25, 0.36, 2, 1),
    ]


@pytest.mark.parametrize("background", [None, 0, 2, 3])
def test_torchvision_by_hand(bundle: ModelBundle, background: int | None) -> None:
    """Labels above the background move down by one; the background itself is no object."""
    tensors = {
        "boxes": np.array([[0, 0, 64, 48], [32, 24, 96, 96], [1, 2, 3, 4]], np.float32),
        "labels": np.array([1, 2, 2]),
        "scores": np.array([0.9, 0.6, 0.2], np.float32),
    }
    output = TorchvisionFormat({}, background=background)
    first, second = (0.0, 0.0, 0.5, 0.5, 0.9), (0.25, 0.25, 0.75, 1.0, 0.6)
    assert (
        _rows(_decoder(bundle, output)(tensors, 0.3))
        == {
            None: [(*first, 1, 0), (*second, 2, 1)],
            0: [(*first, 0, 0), (*second, 1, 1)],
            2: [(*first, 1, 0)],
            3: [(*first, 1, 0), (*second, 2, 1)],
        }[background]
    )


@pytest.mark.parametrize("label", [-1, 4])
def test_torchvision_labels_without_a_name(bundle: ModelBundle, label: int) -> None:
    tensors = {
        "boxes": np.zeros((2, 4), np.float32),
        "labels": np.array([1, label]),
        "scores": np.array([0.9, 0.5], np.float32),
    }
    decode = _decoder(bundle, TorchvisionFormat({}, background=0))
    assert len(decode(tensors, 0.7).scores) == 1
    with pytest.raises(ModelError, match=rf"answered label {label} but .* allow 0 to 3"):
        decode(tensors, 0.4)


def test_detr_by_hand(bundle: ModelBundle) -> None:
    shares = [
        [0.10, 0.60, 0.05, 0.25],
        [0.30, 0.05, 0.05, 0.60],  # most likely no object; 0.3 is enough for this threshold
        [0.05, 0.05, 0.10, 0.80],
    ]
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.5, 1.0], [0, 0, 1, 1]], np.float32)
    logits = np.log(np.array(shares, np.float32)) + np.array([[3], [0], [-7]], np.float32)
    decode = _decoder(bundle, DetrFormat({}))
    assert _rows(decode({"logits": logits, "boxes": boxes}, 0.28)) == [
        (0.4, 0.3, 0.6, 0.7, 0.6, 1, 0),
        (0.0, 0.0, 0.5, 1.0, 0.3, 0, 1),
    ]


@pytest.mark.parametrize("form", ["yolo_v5", "yolo_v8", "torchvision", "detr"])
def test_other_formats_take_not_a_number_for_nothing(bundle: ModelBundle, form: str) -> None:
    nothing = np.full((8, 8), np.nan, np.float32)
    tensors = {"predictions": nothing, "logits": nothing[:, :4], "boxes": nothing[:, :4]}
    tensors |= {"scores": nothing[0], "labels": np.zeros(8, np.int64)}
    with np.errstate(invalid="ignore"):
        found = _decoder(bundle, OUTPUT_FORMATS[form]({}))(tensors, 0.0)
    assert len(found.scores) == 0


def test_fastestdet_cell_by_cell(bundle: ModelBundle) -> None:
    rng = np.random.default_rng(5)
    cells = np.concatenate(
        [
            rng.random((1, 3, 4)),
            rng.normal(0, 2, (4, 3, 4)),
            rng.dirichlet([1] * 6, (3, 4)).T.swapaxes(1, 2),
        ]
    ).astype(np.float32)
    found = _decoder(bundle, FastestDetFormat({}))({"cells": cells}, 0.3)
    expected = []
    for row in range(3):
        for column in range(4):
            obj, x, y, w, h, *classes = cells[:, row, column].astype(np.float64)
            score = obj**0.6 * max(classes) ** 0.4
            if score >= 0.3:
                cx, cy = (column + np.tanh(x)) / 4, (row + np.tanh(y)) / 3
                w, h = 1 / (1 + np.exp(-w)), 1 / (1 + np.exp(-h))
                box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                expected.append((*box, score, int(np.argmax(classes)), row * 4 + column))
    assert 1 < len(expected) < 12
    assert found.anchors is not None
    actual = np.column_stack([found.boxes, found.scores, found.class_ids, found.anchors])
    np.testing.assert_allclose(actual, expected, atol=1e-6)
