"""Live explanations on pictures where it is known what speaks for the answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from cnn_perception.config import ExplainerConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.explain.explainer import Explainer
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from models import (
    cell_box,
    paint,
    score_of,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return load_bundle(write_detector_bundle(tmp_path_factory.mktemp("models") / "colours"))


@pytest.fixture
def explainer(bundle: ModelBundle) -> Explainer:
    return Explainer(bundle)


def _at(heatmap: np.ndarray, row: int, column: int, level: int = 0) -> float:
    x0, y0, x1, y1 = cell_box(row, column, level)
    return float(heatmap[int(y0 + y1) // 2, int(x0 + x1) // 2])


def test_the_best_detection_is_explained(explainer: Explainer) -> None:
    picture = paint({(1, 2): (200, 0, 0), (4, 6): "red", (0, 7): (0, 240, 0)})
    explanation = explainer.explain(picture)
    assert explanation.class_id == explainer.labels.index("red")
    assert explanation.score == pytest.approx(score_of(255), abs=1e-5)
    assert explanation.box is not None
    np.testing.assert_allclose(explanation.box, cell_box(4, 6), atol=1e-2)
    heatmap = explanation.heatmap
    assert heatmap.shape == (480, 640)
    assert heatmap.dtype == np.float32
    # The graph counts the explained cell twice; other cells by their colour; green speaks against.
    assert heatmap.max() == 1.0
    assert _at(heatmap, 4, 6) == pytest.approx(1.0, abs=1e-3)
    assert _at(heatmap, 1, 2) == pytest.approx(200 / 255 / 2, abs=1e-3)
    assert _at(heatmap, 0, 7) == 0.0
    assert _at(heatmap, 3, 0) == 0.0


def test_each_level_has_its_own_graph(explainer: Explainer) -> None:
    explanation = explainer.explain(paint({(2, 3): "blue"}, level=1))
    assert explanation.class_id == explainer.labels.index("blue")
    assert explanation.box is not None
    np.testing.assert_allclose(explanation.box, cell_box(2, 3, 1), atol=1e-2)
    assert _at(explanation.heatmap, 2, 3, 1) == pytest.approx(1.0, abs=1e-3)
    assert _at(explanation.heatmap, 0, 0, 1) == 0.0


def test_the_target_class_is_live(explainer: Explainer) -> None:
    picture = paint({(1, 1): "red", (4, 4): (0, 180, 0)})
    assert explainer.explain(picture).class_id == 0
    explainer.config = ExplainerConfig(target_class="green")
    explanation = explainer.explain(picture)
    assert explanation.class_id == 1
    assert explanation.score == pytest.approx(score_of(180), abs=1e-3)
    assert _at(explanation.heatmap, 4, 4) == pytest.approx(1.0, abs=1e-3)
    explainer.config = ExplainerConfig(target_class="blue")
    assert explainer.explain(picture).class_id is None


def test_unknown_targets_are_refused_and_change_nothing(explainer: Explainer) -> None:
    with pytest.raises(ConfigError, match=r"'pink' is no label of colours: .* red, green, blue"):
        explainer.config = ExplainerConfig(target_class="pink")
    assert explainer.config.target_class == ""
    assert explainer.explain(paint({(1, 1): "red"})).class_id == 0


def test_nothing_found_is_a_zero_map(explainer: Explainer) -> None:
    explainer.config = ExplainerConfig(score_threshold=0.99)
    for picture in (paint({}), paint({(1, 1): (160, 0, 0)})):
        explanation = explainer.explain(picture)
        assert explanation.class_id is None
        assert explanation.box is None
        assert explanation.score == 0.0
        assert explanation.heatmap.shape == (480, 640)
        assert not explanation.heatmap.any()


def test_it_explains_what_the_detector_finds(bundle: ModelBundle, explainer: Explainer) -> None:
    picture = paint({(5, 0): (0, 230, 0), (2, 2): (210, 0, 0)})
    found, explanation = Detector(bundle).detect(picture), explainer.explain(picture)
    assert explanation.class_id == found.class_ids[0]
    assert explanation.score == found.scores[0]
    np.testing.assert_array_equal(explanation.box, found.boxes[0])


def test_a_classifier(tmp_path: Path) -> None:
    explainer = Explainer(load_bundle(write_classifier_bundle(tmp_path / "classes")))
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, :320] = (0, 255, 0)
    picture[:, 320:] = (0, 0, 120)
    explanation = explainer.explain(picture)
    logits = 10 * np.array([-0.5 - 120 / 510, 0.5 - 120 / 510, 120 / 510 - 0.5])
    expected = np.exp(logits) / np.exp(logits).sum()
    assert explanation.class_id == 1
    assert explanation.score == pytest.approx(expected[1], abs=1e-3)
    assert explanation.box is None
    assert explanation.heatmap[240, 100] == pytest.approx(1.0)
    assert explanation.heatmap[240, 500] == 0.0
    explainer.config = ExplainerConfig(target_class="blue", score_threshold=0.0)
    explanation = explainer.explain(picture)
    assert explanation.score == pytest.approx(expected[2], abs=1e-3)
    assert explanation.heatmap[240, 500] == pytest.approx(1.0)
    assert explanation.heatmap[240, 100] == 0.0
    explainer.config = ExplainerConfig(target_class="blue")
    assert explainer.explain(picture).class_id is None


def test_letterboxed_heat_lies_on_the_object(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "boxed")
    text = (folder / "model.yaml").read_text(encoding="utf-8")
    (folder / "model.yaml").write_text(text.replace("stretch", "letterbox"), encoding="utf-8")
    picture = np.zeros((240, 640, 3), np.uint8)
    picture[40:120, 160:240] = (255, 0, 0)
    heatmap = Explainer(load_bundle(folder)).explain(picture).heatmap
    assert heatmap.shape == (240, 640)
    y, x = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    assert 40 <= y < 120
    assert 160 <= x < 240


def test_bundles_without_graphs_are_refused(tmp_path: Path, bundle: ModelBundle) -> None:
    for folder in (
        write_detector_bundle(tmp_path / "plain", explain=False),
        write_segmenter_bundle(tmp_path / "areas"),
    ):
        with pytest.raises(ModelError, match="has no explain graphs"):
            Explainer(load_bundle(folder))
    with pytest.raises(ModelError, match=r"no explain graph for level 1: add"):
        Explainer(dataclasses.replace(bundle, explain=bundle.explain[:1]))


def test_graphs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colours")
    file = folder / "model.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    first, second = content["explain"]
    first["graph"], second["graph"] = second["graph"], first["graph"]
    first["sha256"], second["sha256"] = second["sha256"], first["sha256"]
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    text = r"'feature_map' of level_1.onnx is float32 \[1, 3, 3, 4\] .*needs float32 \[1, 3, 6, 8\]"
    with pytest.raises(ModelError, match=text):
        Explainer(load_bundle(folder))
    classes = write_classifier_bundle(tmp_path / "classes")
    first["graph"] = str(classes / "explain" / "level_0.onnx")
    del first["sha256"]
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ModelError, match=r"export it with feature_map, anchor, class_index"):
        Explainer(load_bundle(folder))
