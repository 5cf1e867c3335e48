"""Explain graphs for bundles that have a network's file and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch: install cnn_perception with [train]")
onnx = pytest.importorskip("onnx", reason="no onnx: install cnn_perception with [test]")

import yaml  # noqa: E402
from torch import Tensor  # noqa: E402

from cnn_perception.cli.main import app  # noqa: E402
from cnn_perception.config import ExplainerConfig  # noqa: E402
from cnn_perception.detection.detector import Detector  # noqa: E402
from cnn_perception.errors import ExplainError, ModelError  # noqa: E402
from cnn_perception.explain.explainer import Explainer  # noqa: E402
from cnn_perception.offboard.export.bundle import prepared  # noqa: E402
from cnn_perception.offboard.export.class_logits import class_logits  # noqa: E402
from cnn_perception.offboard.export.explain import explain_bundle  # noqa: E402
from cnn_perception.offboard.export.explain_graph import class_explanation  # noqa: E402
from cnn_perception.offboard.export.explain_proof import prove  # noqa: E402
from cnn_perception.offboard.export.explained import Explained  # noqa: E402
from cnn_perception.offboard.export.onnx_graph import OnnxGraph  # noqa: E402
from cnn_perception.runtime.bundle import ModelBundle, file_digest, load_bundle  # noqa: E402
from detector_formats import QUERIES, write_format_bundle  # noqa: E402
from models import (  # noqa: E402
    cell_box,
    free_the_batch,
    paint,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)

ANY_CLASS = ExplainerConfig(method="gradcam++", target_class="red", score_threshold=0.0)
PICTURE = paint({(1, 5): "red", (4, 1): "green", (3, 3): (200, 0, 0)})


def inputs_of(bundle: ModelBundle) -> list[Tensor]:
    return prepared(bundle.input, [PICTURE, paint({(0, 0): "blue"})])


def shape_of(bundle: ModelBundle) -> tuple[int, ...]:
    return 1, 3, bundle.input.height, bundle.input.width


def hottest(heatmap: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    return int(row), int(column)


def inside(place: tuple[int, int], cell: tuple[int, int]) -> bool:
    x0, y0, x1, y1 = cell_box(*cell)
    return y0 <= place[0] <= y1 and x0 <= place[1] <= x1


def test_a_detector(tmp_path: Path) -> None:
    bundle = load_bundle(write_detector_bundle(tmp_path / "colors", explain=False))
    proofs = explain_bundle(bundle, tmp_path / "explained", inputs_of(bundle))
    # The maps that classes and offsets are both made of.
    assert [(x.level, x.feature_map) for x in proofs] == [(0, "feature_0"), (1, "feature_1")]
    assert all(x.difference < 1e-5 for x in proofs)
    explained = load_bundle(tmp_path / "explained")
    assert [(graph.first, graph.count) for graph in explained.explain] == [(0, 192), (192, 48)]
    for method in ("gradcam", "gradcam++"):
        explanation = Explainer(explained, ExplainerConfig(method=method)).explain(PICTURE)
        assert explanation.best is not None and explanation.best.class_id == 0
        # Nothing here depends on the box: all that is red speaks for it.
        assert inside(hottest(explanation.heatmap), (1, 5))
    assert not bundle.explain and not (tmp_path / "colors" / "explain" / "level_0.onnx").exists()


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_classifier_in_its_own_folder(tmp_path: Path, dynamic: bool) -> None:
    folder = write_classifier_bundle(tmp_path / "classes")
    if dynamic:
        free_the_batch(folder)
    before = load_bundle(folder).model.read_bytes()
    bundle = load_bundle(folder)
    (proof,) = explain_bundle(bundle, folder, inputs_of(bundle), ["cells"])
    assert proof.feature_map == "cells" and proof.difference < 1e-5
    explained = load_bundle(folder)
    explanation = Explainer(explained, ANY_CLASS).explain(PICTURE)
    assert explanation.best is not None and explanation.best.class_id == 0
    assert inside(hottest(explanation.heatmap), (1, 5))
    names = [output.name for output in onnx.load(explained.model).graph.output]
    assert names == ["logits", "feature", "cells"]
    assert before != explained.model.read_bytes()
    assert (folder / "README.md").is_file()


def test_a_network_whose_file_leaves_its_size_open(tmp_path: Path) -> None:
    folder = write_classifier_bundle(tmp_path / "open")
    path = folder / "model.onnx"
    model = onnx.load(path)
    for tensor in (model.graph.input[0], model.graph.output[1]):
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            tensor.type.tensor_type.shape.dim[axis].dim_param = f"{tensor.name}_{name}"
    onnx.save(model, path)
    tree = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    tree["model"] = {"file": "model.onnx"}
    del tree["explain"]
    (folder / "model.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    bundle = load_bundle(folder)
    (proof,) = explain_bundle(bundle, folder, inputs_of(bundle))
    assert proof.feature_map == "cells"
    explanation = Explainer(load_bundle(folder), ANY_CLASS).explain(PICTURE)
    assert inside(hottest(explanation.heatmap), (1, 5))


@pytest.mark.parametrize("form", ["mask_index", "mask_logits"])
def test_masks(tmp_path: Path, form: str) -> None:
    bundle = load_bundle(write_segmenter_bundle(tmp_path / form, form=form))
    (proof,) = explain_bundle(bundle, tmp_path / form, inputs_of(bundle))
    assert (proof.level, proof.feature_map) == (0, "feature")
    explainer = Explainer(load_bundle(tmp_path / form), ExplainerConfig(target_class="green"))
    assert inside(hottest(explainer.explain(PICTURE).heatmap), (4, 1))


def test_what_cannot_be_explained_stays_as_it_is(tmp_path: Path) -> None:
    folder = write_classifier_bundle(tmp_path / "classes")
    bundle = load_bundle(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(ExplainError, match=r"'mops' is no feature map of .*: choose .*cells"):
        explain_bundle(bundle, folder, inputs_of(bundle), ["mops"])
    with pytest.raises(ExplainError, match=r"layers = cells, feature: classes is explained from"):
        explain_bundle(bundle, folder, inputs_of(bundle), ["cells", "feature"])
    with pytest.raises(ModelError, match="no images to check"):
        explain_bundle(bundle, folder, [])
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    boxes = load_bundle(write_detector_bundle(tmp_path / "boxes"))
    with pytest.raises(ExplainError, match=r"feature_0: give one for each of the 2 levels"):
        explain_bundle(boxes, tmp_path / "boxes", inputs_of(boxes), ["feature_0"])


def test_final_answers_are_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_format_bundle(tmp_path / "final", "torchvision"))
    with pytest.raises(ExplainError, match=r"'torchvision' cannot be explained: give one"):
        explain_bundle(bundle, tmp_path / "final", inputs_of(bundle))


def test_scores_after_softmax_with_a_background(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "rows", explain=False)
    path = folder / "model.onnx"
    model = onnx.load(path)
    model.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["scores"], axis=2))
    del model.graph.output[:2]
    for name, shape in (("scores", (1, 240, 4)), ("deltas", (1, 240, 4))):
        kind = onnx.TensorProto.FLOAT
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    onnx.save(model, path)
    text = (folder / "model.yaml").read_text(encoding="utf-8")
    tree = yaml.safe_load(text)
    tree["model"] = {"file": "model.onnx"}
    tensors = {"scores": "scores", "boxes": "deltas"}
    tree["output"] = {"format": "boxes_scores", "tensors": tensors, "background": 0}
    (folder / "model.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    bundle = load_bundle(folder)
    graph = OnnxGraph(bundle.model, shape_of(bundle))
    assert class_logits(graph, bundle).tensor == "logits"
    proofs = explain_bundle(bundle, folder, inputs_of(bundle))
    assert [x.feature_map for x in proofs] == ["feature_0", "feature_1"]
    assert [graph.first for graph in load_bundle(folder).explain] == [0, 192]


def test_a_graph_that_disagrees_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_classifier_bundle(tmp_path / "classes"))
    model = class_explanation(OnnxGraph(bundle.model, shape_of(bundle)), "feature", "logits")
    for tensor in model.graph.initializer:  # turns red and green around
        if tensor.name == "weight_0" or list(tensor.dims) == [3, 3, 1, 1]:
            values = onnx.numpy_helper.to_array(tensor)[::-1].copy()
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    file = tmp_path / "wrong.onnx"
    onnx.save(model, file)
    with pytest.raises(ModelError, match=r"wrong.onnx: cam beside automatic differentiation of .*"):
        prove(bundle.model, file, Explained(0, "feature", "logits"), inputs_of(bundle))


def test_the_command(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    folder = write_detector_bundle(tmp_path / "colors", explain=False)
    arguments = ["models", "explain", str(folder), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert '"feature_map": "feature_1"' in result.output
    bundle = load_bundle(folder)
    assert len(bundle.explain) == 2
    digests = [file_digest(graph.file) for graph in bundle.explain]
    # The same again: the same graphs, from the same maps.
    shutil.copytree(folder, tmp_path / "again")
    arguments = ["models", "explain", str(tmp_path / "again"), "--out", str(tmp_path / "third")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "third explains" not in result.output
    third = load_bundle(tmp_path / "third")
    assert [file_digest(graph.file) for graph in third.explain] == digests


@pytest.mark.parametrize("form", ["detr", "yolo_v5", "yolo_v8"])
def test_detectors_of_every_family(tmp_path: Path, form: str) -> None:
    bundle = load_bundle(write_format_bundle(tmp_path / form, form))
    proofs = explain_bundle(bundle, tmp_path / form, inputs_of(bundle))
    assert {x.feature_map for x in proofs} == {"feature"}
    explained = load_bundle(tmp_path / form)
    assert sum(graph.count for graph in explained.explain) == QUERIES
    explainer = Explainer(explained)
    found = Detector(explained).detect(PICTURE)
    explanation = explainer.explain(PICTURE)
    assert explanation.best is not None
    np.testing.assert_array_equal(explanation.best.box, found.boxes[0])
    assert inside(hottest(explanation.heatmap), (1, 5))
    explainer.config = ExplainerConfig(target_class="green")
    assert inside(hottest(explainer.explain(PICTURE).heatmap), (4, 1))
