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
    return load_bundle(write_detector_bundle(tmp_path_factory.mktemp("models") / "colors"))


@pytest.fixture
def explainer(bundle: ModelBundle) -> Explainer:
    return Explainer(bundle)


def _at(heatmap: np.ndarray, row: int, column: int, level: int = 0) -> float:
    x0, y0, x1, y1 = cell_box(row, column, level)
    return float(heatmap[int(y0 + y1) // 2, int(x0 + x1) // 2])


def test_the_best_detection_is_explained(explainer: Explainer) -> None:
    picture = paint({(1, 2): (200, 0, 0), (4, 6): "red", (0, 7): (0, 240, 0)})
    explanation = explainer.explain(picture)
    assert explanation.best.class_id == explainer.labels.index("red")
    assert explanation.best.score == pytest.approx(score_of(255), abs=1e-5)
    assert explanation.best.box is not None
    np.testing.assert_allclose(explanation.best.box, cell_box(4, 6), atol=1e-2)
    heatmap = explanation.heatmap
    assert heatmap.shape == (480, 640)
    assert heatmap.dtype == np.float32
    # The graph counts the explained cell twice; other cells by their color; green speaks against.
    assert heatmap.max() == 1.0
    assert _at(heatmap, 4, 6) == pytest.approx(1.0, abs=1e-3)
    assert _at(heatmap, 1, 2) == pytest.approx(200 / 255 / 2, abs=1e-3)
    assert _at(heatmap, 0, 7) == 0.0
    assert _at(heatmap, 3, 0) == 0.0


def test_each_level_has_its_own_graph(explainer: Explainer) -> None:
    explanation = explainer.explain(paint({(2, 3): "blue"}, level=1))
    assert explanation.best.class_id == explainer.labels.index("blue")
    assert explanation.best.box is not None
    np.testing.assert_allclose(explanation.best.box, cell_box(2, 3, 1), atol=1e-2)
    assert _at(explanation.heatmap, 2, 3, 1) == pytest.approx(1.0, abs=1e-3)
    assert _at(explanation.heatmap, 0, 0, 1) == 0.0


def test_the_target_class_is_live(explainer: Explainer) -> None:
    picture = paint({(1, 1): "red", (4, 4): (0, 180, 0)})
    assert explainer.explain(picture).best.class_id == 0
    explainer.config = ExplainerConfig(target_class="green")
    explanation = explainer.explain(picture)
    assert explanation.best.class_id == 1
    assert explanation.best.score == pytest.approx(score_of(180), abs=1e-3)
    assert _at(explanation.heatmap, 4, 4) == pytest.approx(1.0, abs=1e-3)
    explainer.config = ExplainerConfig(target_class="blue")
    assert explainer.explain(picture).best is None


def test_unknown_targets_are_refused_and_change_nothing(explainer: Explainer) -> None:
    with pytest.raises(ConfigError, match=r"'pink' is no label of colors: .* red, green, blue"):
        explainer.config = ExplainerConfig(target_class="pink")
    assert explainer.config.target_class == ""
    assert explainer.explain(paint({(1, 1): "red"})).best.class_id == 0


def test_nothing_found_is_a_zero_map(explainer: Explainer) -> None:
    explainer.config = ExplainerConfig(score_threshold=0.99)
    for picture in (paint({}), paint({(1, 1): (160, 0, 0)})):
        explanation = explainer.explain(picture)
        assert explanation.best is None
        assert explanation.answers == ()
        assert explanation.left_out == 0
        assert explanation.heatmap.shape == (480, 640)
        assert not explanation.heatmap.any()


def test_it_explains_what_the_detector_finds(bundle: ModelBundle, explainer: Explainer) -> None:
    picture = paint({(5, 0): (0, 230, 0), (2, 2): (210, 0, 0)})
    found, explanation = Detector(bundle).detect(picture), explainer.explain(picture)
    assert explanation.best.class_id == found.class_ids[0]
    assert explanation.best.score == found.scores[0]
    np.testing.assert_array_equal(explanation.best.box, found.boxes[0])


def test_a_classifier(tmp_path: Path) -> None:
    explainer = Explainer(load_bundle(write_classifier_bundle(tmp_path / "classes")))
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, :320] = (0, 255, 0)
    picture[:, 320:] = (0, 0, 120)
    explanation = explainer.explain(picture)
    logits = 10 * np.array([-0.5 - 120 / 510, 0.5 - 120 / 510, 120 / 510 - 0.5])
    expected = np.exp(logits) / np.exp(logits).sum()
    assert explanation.best.class_id == 1
    assert explanation.best.score == pytest.approx(expected[1], abs=1e-3)
    assert explanation.best.box is None
    assert explanation.heatmap[240, 100] == pytest.approx(1.0)
    assert explanation.heatmap[240, 500] == 0.0
    explainer.config = ExplainerConfig(target_class="blue", score_threshold=0.0)
    explanation = explainer.explain(picture)
    assert explanation.best.score == pytest.approx(expected[2], abs=1e-3)
    assert explanation.heatmap[240, 500] == pytest.approx(1.0)
    assert explanation.heatmap[240, 100] == 0.0
    explainer.config = ExplainerConfig(target_class="blue")
    assert explainer.explain(picture).best is None


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
    folder = write_detector_bundle(tmp_path / "colors")
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


# --- questions


def test_a_point_and_a_box_choose_the_detection(explainer: Explainer) -> None:
    picture = paint({(1, 2): (230, 0, 0), (4, 6): "red", (0, 7): (0, 240, 0)})
    x0, y0, x1, y1 = cell_box(1, 2)
    for region in ((x0 + 1, y1 - 1), (x0 - 5, y0 - 5, x1 + 5, y1 + 5)):
        explainer.config = ExplainerConfig(region=region)
        explanation = explainer.explain(picture)
        assert explanation.best is not None
        np.testing.assert_allclose(explanation.best.box, cell_box(1, 2), atol=1e-2)
        assert _at(explanation.heatmap, 1, 2) == pytest.approx(1.0, abs=1e-3)
    for region in ((x1 + 1, y1 + 1), (x1, y0, x1 + 40, y1)):
        explainer.config = ExplainerConfig(region=region)
        assert explainer.explain(picture).answers == ()


@pytest.mark.parametrize("region", [(1.0,), (5.0, 5.0, 5.0, 9.0), (9.0, 0.0, 5.0, 9.0), (1.0,) * 3])
def test_regions_that_are_none_are_refused(explainer: Explainer, region: tuple[float]) -> None:
    with pytest.raises(ConfigError, match=r"region = \[.*\]: give a point \[x, y\], a box"):
        explainer.config = ExplainerConfig(region=region)


def test_all_detections_as_far_as_the_budget_goes(explainer: Explainer) -> None:
    cells = {(row, column): "red" for row in range(0, 6, 2) for column in range(0, 8, 2)}
    explainer.config = ExplainerConfig(max_answers=100, budget_ms=10000)
    explanation = explainer.explain(paint(cells))
    assert len(explanation.answers) == len(cells)
    assert explanation.left_out == 0
    # Each by its own largest value: every cell is at the top of one of the maps.
    assert all(_at(explanation.heatmap, *cell) > 0.98 for cell in cells)
    assert explainer.caption(explanation) == "red 1.00, red 1.00, red 1.00 + 9"
    explainer.config = ExplainerConfig(max_answers=100, budget_ms=0)
    explanation = explainer.explain(paint(cells))
    assert (len(explanation.answers), explanation.left_out) == (1, len(cells) - 1)
    explainer.config = ExplainerConfig(max_answers=3, budget_ms=10000)
    assert len(explainer.explain(paint(cells)).answers) == 3


def test_evidence_is_the_box_around_the_heat(explainer: Explainer) -> None:
    # The cell itself counts twice, the others of its color once: they are above a fifth.
    explanation = explainer.explain(paint({(2, 2): "red", (2, 3): "red"}))
    assert explanation.best is not None and explanation.best.evidence is not None
    x0, y0, x1, y1 = explanation.best.evidence
    left, top, _, bottom = cell_box(2, 2)
    right = cell_box(2, 3)[2]
    # A map of cells is interpolated: its edge lies up to a cell outside.
    assert left - 80 <= x0 < left and right < x1 <= right + 80
    assert top - 80 <= y0 < top and bottom < y1 <= bottom + 80
    explainer.config = ExplainerConfig(evidence_share=0.9)
    narrow = explainer.explain(paint({(2, 2): "red", (2, 3): "red"})).best
    assert narrow is not None and narrow.evidence is not None
    assert narrow.evidence[2] - narrow.evidence[0] < 80


def test_a_region_of_no_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"region\[0\] = nan: give a number"):
        ExplainerConfig(region=(float("nan"), 1.0))


def test_methods_that_graphs_lack_are_refused(explainer: Explainer) -> None:
    with pytest.raises(ConfigError, match=r"method = 'gradcam\+\+': .* have no Grad-CAM\+\+: make"):
        explainer.config = ExplainerConfig(method="gradcam++")


def test_a_classifier_has_no_regions(tmp_path: Path) -> None:
    explainer = Explainer(load_bundle(write_classifier_bundle(tmp_path / "classes")))
    with pytest.raises(ConfigError, match=r"region = \[.*\]: classes tells what the whole image"):
        explainer.config = ExplainerConfig(region=(3.0, 4.0))
    explainer.config = ExplainerConfig(max_answers=2, score_threshold=0.0, budget_ms=10000)
    answers = explainer.explain(paint({(0, 0): "red"})).answers
    assert len(answers) == 2 and answers[0].score >= answers[1].score


def test_what_speaks_against_alone_is_no_heat(tmp_path: Path) -> None:
    explainer = Explainer(load_bundle(write_classifier_bundle(tmp_path / "classes")))
    explainer.config = ExplainerConfig(target_class="red", score_threshold=0.0)
    for color in ((0, 0, 255), (90, 90, 90), (0, 0, 0)):
        explanation = explainer.explain(np.full((48, 64, 3), color, np.uint8))
        assert explanation.best is not None and explanation.best.class_id == 0
        assert explanation.best.evidence is None
        assert not explanation.heatmap.any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (300, 2)])
def test_pictures_of_any_shape(explainer: Explainer, shape: tuple[int, int]) -> None:
    explanation = explainer.explain(np.zeros((*shape, 3), np.uint8))
    assert explanation.heatmap.shape == shape
    assert explanation.answers == ()


# --- masks


@pytest.fixture(scope="module", params=["mask_index", "mask_logits"])
def areas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    folder = tmp_path_factory.mktemp("models") / "areas"
    return load_bundle(write_segmenter_bundle(folder, form=request.param, explain=True))


def test_a_mask_by_its_largest_region(areas: ModelBundle) -> None:
    explainer = Explainer(areas)
    picture = paint({(1, 1): "red", (4, 5): "green", (4, 6): "green"})
    explanation = explainer.explain(picture)
    assert explanation.best is not None
    assert explainer.labels[explanation.best.class_id] == "green"
    assert explanation.best.score == pytest.approx(2 / 48, abs=3e-3)
    left, top, _, bottom = cell_box(4, 5)
    np.testing.assert_allclose(
        explanation.best.box, [left, top, cell_box(4, 6)[2], bottom], atol=41
    )
    assert _at(explanation.heatmap, 4, 5) > 0.9
    assert _at(explanation.heatmap, 1, 1) == 0.0


def test_a_mask_where_it_is_asked_for(areas: ModelBundle) -> None:
    explainer = Explainer(areas)
    picture = paint({(1, 1): "red", (4, 5): "green", (4, 6): "green"})
    x0, y0, x1, y1 = cell_box(1, 1)
    for region in ((x0 + 40, y0 + 40), (x0 + 10, y0 + 10, x1 - 10, y1 - 10)):
        explainer.config = ExplainerConfig(region=region)
        best = explainer.explain(picture).best
        assert best is not None
        assert (explainer.labels[best.class_id], best.score) == ("red", 1.0)
        assert best.box is not None and (best.box[:2] >= (x0 - 1, y0 - 1)).all()
    explainer.config = ExplainerConfig(target_class="blue")
    assert explainer.explain(picture).answers == ()
    for region in ((700.0, 10.0), (-9.0, -9.0, -1.0, -1.0)):
        explainer.config = ExplainerConfig(region=region)
        assert explainer.explain(picture).answers == ()
