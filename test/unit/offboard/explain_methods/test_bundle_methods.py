"""Bundles looked into: what is answered of every output format, and what it depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
onnx = pytest.importorskip("onnx", reason="onnx is an extra: [train]")

from onnx import helper  # noqa: E402

from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.explain.explainer import Explainer  # noqa: E402
from cnn_perception.formats.boxes_scores import BoxesScoresFormat  # noqa: E402
from cnn_perception.formats.ssd_raw import SsdRawFormat  # noqa: E402
from cnn_perception.offboard.explain_methods.bundle import open_bundle  # noqa: E402
from cnn_perception.offboard.explain_methods.grad_cam import grad_cam  # noqa: E402
from cnn_perception.offboard.explain_methods.gradients import input_gradient, saliency  # noqa: E402
from cnn_perception.offboard.explain_methods.layer_pictures import first_filters  # noqa: E402
from cnn_perception.offboard.explain_methods.layers import last_map_layer  # noqa: E402
from cnn_perception.offboard.explain_methods.occlusion import occlusion  # noqa: E402
from cnn_perception.offboard.explain_methods.targets import BoxClasses, best_class, class_target  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from detector_formats import write_format_bundle  # noqa: E402
from models import (  # noqa: E402
    GRIDS,
    HEIGHT,
    LABELS,
    WIDTH,
    GraphBuilder,
    anchor_of,
    answer_weights,
    paint,
    score_of,
    write_bundle,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)

CELL = (2, 5)
RED = paint({CELL: "red"})


def _is_of_the_cell(values: np.ndarray) -> bool:
    """Say whether a map over the 128x96 input is something in the cell of 16x16, and 0 around."""
    row, column = CELL
    inside = np.zeros(values.shape[:2], np.bool_)
    inside[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = True
    return bool(values[inside].any() and not values[~inside].any())


def test_a_detector_answers_with_logits(tmp_path: Path) -> None:
    opened = open_bundle(load_bundle(write_detector_bundle(tmp_path / "colors")))
    assert (opened.name, opened.labels) == ("colors", LABELS)
    images, _ = opened.prepare(RED)
    answer = opened.answer(images)
    assert isinstance(answer, BoxClasses)
    assert int(answer.values[0, :, 0].argmax()) == anchor_of(*CELL)
    assert best_class(answer) == (0, pytest.approx(score_of(255), abs=1e-5))
    assert _is_of_the_cell(saliency(opened.network, images, class_target(0)))


@pytest.mark.parametrize(("color", "level"), [("red", 0), ("blue", 1)])
def test_the_level_of_the_best_box_is_explained(tmp_path: Path, color: str, level: int) -> None:
    opened = open_bundle(load_bundle(write_detector_bundle(tmp_path / "colors")))
    images, _ = opened.prepare(paint({(1, 2): color}, level=level))
    target = class_target(LABELS.index(color))
    layer = last_map_layer(opened.network, images, target)
    assert layer == f"feature_{level}"
    cam = grad_cam(opened.network, layer, images, target)
    assert cam.shape == GRIDS[level]
    assert np.argwhere(cam).tolist() == [[1, 2]]


def test_the_shipped_detector_is_explained_as_it_explains_itself(repository: Path) -> None:
    bundle = load_bundle(repository / "models" / "rooms_ssdlite")
    rgb = cv2.cvtColor(cv2.imread(str(repository / "models" / "room.jpg")), cv2.COLOR_BGR2RGB)
    explanation = Explainer(bundle).explain(np.asarray(rgb, np.uint8))
    own = explanation.best
    assert own is not None
    opened = open_bundle(bundle)
    images, placement = opened.prepare(np.asarray(rgb, np.uint8))
    class_id, score = best_class(opened.answer(images))
    assert (class_id, score) == (own.class_id, pytest.approx(own.score, abs=1e-5))
    with torch.no_grad():
        best = opened.network(images).scores[0, :, class_id].argmax()
    assert isinstance(bundle.output, SsdRawFormat)
    level, _ = bundle.output.default_boxes.locate(int(best))
    (graph,) = (graph for graph in bundle.explain if graph.level == level)
    layer = opened.network.layer(graph.feature_map)
    cam = grad_cam(opened.network, layer, images, class_target(class_id))
    heat = placement.map_to_source(cam, "linear")
    np.testing.assert_allclose(heat / heat.max(), explanation.heatmap, atol=1e-4)


@pytest.mark.parametrize("form", ["mask_index", "mask_logits"])
def test_labels_are_traced_to_logits(tmp_path: Path, form: str) -> None:
    opened = open_bundle(load_bundle(write_segmenter_bundle(tmp_path / form, form=form)))
    images, _ = opened.prepare(RED)
    answer = opened.answer(images)
    assert answer.shape == (1, 4, 12, 16)
    assert float(answer[0, 1].max()) == pytest.approx(1.0)
    assert best_class(answer, opened.class_id("red"))[1] == pytest.approx(1 / 48)
    assert last_map_layer(opened.network, images, class_target(1)) == "feature"
    assert _is_of_the_cell(saliency(opened.network, images, class_target(1)))


def test_a_class_that_is_nowhere_has_no_heat(tmp_path: Path) -> None:
    opened = open_bundle(load_bundle(write_segmenter_bundle(tmp_path / "masks")))
    images, _ = opened.prepare(RED)
    blue = class_target(3)
    layer = last_map_layer(opened.network, images, blue)
    assert layer == "feature"
    assert not grad_cam(opened.network, layer, images, blue).any()


def test_labels_of_no_logits_are_refused(tmp_path: Path) -> None:
    graph = GraphBuilder()
    graph.add("ReduceMax", ["image"], "most", axes=[1], keepdims=0)
    graph.add("Cast", ["most"], "mask", to=onnx.TensorProto.UINT8)
    shape = (1, HEIGHT, WIDTH)
    outputs, dtypes = {"mask": shape}, {"mask": onnx.TensorProto.UINT8}
    description = {
        "task": "segmentation",
        "output": {"format": "mask_index", "tensors": {"mask_index": "mask"}},
        "labels": list(LABELS),
    }
    model = graph.model({"image": (1, 3, HEIGHT, WIDTH)}, outputs, dtypes)
    folder = write_bundle(tmp_path / "brightest", model, description, [], None)
    with pytest.raises(ModelError, match="mask is the ArgMax of nothing"):
        open_bundle(load_bundle(folder))


def test_a_classifier_and_occlusion_of_images_one_by_one(tmp_path: Path) -> None:
    opened = open_bundle(load_bundle(write_classifier_bundle(tmp_path / "classes")))
    images, _ = opened.prepare(RED)
    two = opened.answer(torch.cat([images, 0 * images]))
    torch.testing.assert_close(two, torch.tensor([[10.0, -10, -10], [0, 0, 0]]) / 48)
    assert last_map_layer(opened.network, images, class_target(0)) == "cells"
    found = occlusion(opened.network, images, class_target(0), window=16, stride=16)
    assert _is_of_the_cell(found)


@pytest.mark.parametrize("form", ["detr", "yolo_v5", "yolo_v8"])
def test_published_formats(tmp_path: Path, form: str) -> None:
    opened = open_bundle(load_bundle(write_format_bundle(tmp_path / form, form)))
    images, _ = opened.prepare(paint({CELL: (150, 0, 0)}))
    expected = score_of(150) ** (2 if form == "yolo_v5" else 1)
    answer = opened.answer(images)
    assert best_class(answer) == (0, pytest.approx(expected, abs=1e-3))
    assert answer.values.shape == (1, 96, 3)
    assert _is_of_the_cell(saliency(opened.network, images, class_target(0)))
    assert last_map_layer(opened.network, images, class_target(0)) == "feature"


def test_what_says_nothing_before_suppression_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_format_bundle(tmp_path / "final", "torchvision"))
    with pytest.raises(ConfigError, match=r"output\.format 'torchvision' cannot be looked into"):
        open_bundle(bundle)


def test_probabilities_are_traced_to_logits(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors", explain=False)
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["scores"], axis=2))
    count = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    model.graph.output.append(helper.make_tensor_value_info("scores", 1, (1, count, 4)))
    plain = load_bundle(folder)
    onnx.save(model, folder / "model.onnx")
    tensors = {"scores": "scores", "boxes": "deltas"}
    opened = open_bundle(
        replace(
            plain,
            output=BoxesScoresFormat(tensors, background=0),
        )
    )
    images, _ = opened.prepare(RED)
    answer = opened.answer(images)
    assert best_class(answer) == (0, pytest.approx(score_of(255), abs=1e-5))
    # The probability of 1 has no gradient any more; the logit has.
    assert float(answer.values[0, anchor_of(*CELL), 0]) == pytest.approx(10, abs=1e-4)
    assert _is_of_the_cell(saliency(opened.network, images, class_target(0)))


def test_cells_of_fastestdet(tmp_path: Path) -> None:
    graph = GraphBuilder()
    feature = graph.pool("image", HEIGHT // 6, "feature")
    graph.convolve(feature, 9 * np.ones((1, 3)), np.full(1, -8.0), "object")
    graph.add("Sigmoid", ["object"], "objectness")
    boxes = graph.convolve(feature, np.zeros((4, 3)), np.zeros(4), "boxes")
    graph.convolve(feature, 5 * answer_weights(), np.zeros(3), "classes")
    graph.add("Softmax", ["classes"], "probabilities", axis=1)
    graph.add("Concat", ["objectness", boxes, "probabilities"], "cells", axis=1)
    description = {
        "task": "detection",
        "output": {"format": "fastestdet", "tensors": {"cells": "cells"}},
        "labels": list(LABELS),
        "thresholds": {"score": 0.5, "iou": 0.45},
    }
    model = graph.model({"image": (1, 3, HEIGHT, WIDTH)}, {"cells": (1, 8, 6, 8)})
    folder = write_bundle(tmp_path / "cells", model, description, [], None)
    opened = open_bundle(load_bundle(folder))
    images, _ = opened.prepare(RED)
    strength = np.exp(5) / (np.exp(5) + 2 * np.exp(-5))
    expected = (1 / (1 + np.exp(-1))) ** 0.6 * strength**0.4
    assert best_class(opened.answer(images)) == (0, pytest.approx(expected, abs=1e-4))
    assert _is_of_the_cell(saliency(opened.network, images, class_target(0)))
    assert last_map_layer(opened.network, images, class_target(0)) == "feature"


@pytest.mark.parametrize("first", ["Conv", "Neg"])
def test_networks_for_bgr_are_shown_rgb(tmp_path: Path, first: str) -> None:
    graph = GraphBuilder()
    image = "image" if first == "Conv" else graph.add("Neg", ["image"], "negative")
    weights = np.diag([1.0, 2.0, 4.0]) * (1 if first == "Conv" else -1)
    graph.convolve(image, weights, np.array([0.5, 0.0, -0.5]), "scaled")
    graph.add("GlobalAveragePool", ["scaled"], "pooled")
    graph.add("Flatten", ["pooled"], "logits", axis=1)
    model = graph.model({"image": (1, 3, HEIGHT, WIDTH)}, {"logits": (1, 3)})
    description = {
        "task": "classification",
        "output": {"format": "class_logits", "tensors": {"class_logits": "logits"}},
        "labels": list(LABELS),
        "thresholds": {"score": 0.5},
    }
    folder = write_bundle(tmp_path / "bgr", model, description, [], None)
    bundle = load_bundle(folder)
    spec = replace(bundle.input, channels="bgr", mean=(0.0, 10.0, 55.0), std=(255.0, 1.0, 2.0))
    opened = open_bundle(replace(bundle, input=spec))
    images, _ = opened.prepare(np.full((HEIGHT, WIDTH, 3), (255, 20, 51), np.uint8))
    logits = opened.answer(images)[0]
    # Blue is first: (51 - 0) / 255 * 1 + 0.5, then green and red.
    torch.testing.assert_close(logits, torch.tensor([0.7, 20.0, 399.5]))
    gradient = input_gradient(opened.network, images, class_target(2))[0, 0]
    assert gradient[0] == pytest.approx(4 / (HEIGHT * WIDTH)) and not gradient[1:].any()
    if first == "Conv":
        assert first_filters(opened.network)[2, 0, 0].tolist() == [4.0, 0.0, 0.0]
