"""One network for several readers: what is asked of one picture runs once."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_perception.classification.classifier import Classifier
from cnn_perception.config import SessionConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ModelError
from cnn_perception.explain.explainer import Explainer
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.runtime.inference import Inference, InferencePool
from cnn_perception.segmentation.segmenter import Segmenter
from models import paint, write_classifier_bundle, write_detector_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return load_bundle(write_detector_bundle(tmp_path_factory.mktemp("models") / "colors"))


def test_a_detector_and_its_explainer_share_a_run(bundle: ModelBundle) -> None:
    inference = Inference(bundle)
    detector = Detector(bundle, inference=inference)
    explainer = Explainer(bundle, inference=inference)
    picture = paint({(1, 2): "red"})
    first = detector.infer(picture)
    assert detector.infer(picture) is first
    assert detector.infer(picture.copy()) is first
    assert {"logits", "deltas", "feature_0", "feature_1"} <= set(first.tensors)
    found, explanation = detector.detect(picture), explainer.explain(picture)
    assert explanation.best is not None
    np.testing.assert_array_equal(explanation.best.box, found.boxes[0])
    alone = Explainer(bundle).explain(picture)
    np.testing.assert_array_equal(explanation.heatmap, alone.heatmap)


def test_other_pictures_are_other_answers(bundle: ModelBundle) -> None:
    inference = Inference(bundle)
    reader, other = inference.join(), inference.join()
    picture = paint({(1, 2): "red"})
    first = reader(picture)
    changed = picture.copy()
    changed[479, 638, 2] = 1  # one byte, not among those that are compared first
    assert reader(changed) is not first
    assert reader(picture[:240]) is not first
    assert other(picture) is first
    reader(np.zeros_like(picture))
    assert other(picture) is not first  # behind by more than is remembered


def test_a_single_reader_remembers_nothing(bundle: ModelBundle) -> None:
    reader = Inference(bundle).join()
    picture = paint({(1, 2): "red"})
    assert reader(picture) is not reader(picture)


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_who_leaves_takes_along_what_nobody_else_needs(bundle: ModelBundle, how: str) -> None:
    inference = Inference(bundle)
    detector = Detector(bundle, inference=inference)
    explainer = Explainer(bundle, inference=inference)
    picture, other = paint({(1, 2): "red"}), paint({(3, 4): "blue"})
    found = detector.detect(picture)
    assert "feature_0" in detector.infer(picture).tensors
    known = weakref.ref(picture)
    if how == "closed":
        explainer.close()
        explainer.close()  # twice is once
        with pytest.raises(ModelError, match="this reader is closed"):
            explainer.explain(other)
    else:
        del explainer
        gc.collect()
        detector.infer(other)  # with the next picture it is seen
    del picture
    assert known() is None
    picture = paint({(1, 2): "red"})
    first = detector.infer(picture)
    assert set(first.tensors) == {"logits", "deltas"}
    assert detector.infer(picture) is not first
    np.testing.assert_array_equal(detector.detect(picture).boxes, found.boxes)


@pytest.mark.parametrize("core", ["detector", "segmenter", "classifier"])
def test_a_closed_core_says_so(repository: Path, tmp_path: Path, core: str) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    makers: dict[str, Callable[[], tuple[Any, str]]] = {
        "detector": lambda: (Detector(load_bundle(repository / "models/rooms_ssdlite")), "detect"),
        "segmenter": lambda: (Segmenter(load_bundle(repository / "models/rooms_fcn")), "segment"),
        "classifier": lambda: (
            Classifier(load_bundle(write_classifier_bundle(tmp_path / "classes"))),
            "classify",
        ),
    }
    opened, work = makers[core]()
    getattr(opened, work)(picture)
    opened.close()
    with pytest.raises(ModelError, match="this reader is closed: join anew"):
        getattr(opened, work)(picture)


def test_many_threads_get_one_answer_each(bundle: ModelBundle) -> None:
    inference = Inference(bundle)
    detectors = [Detector(bundle, inference=inference) for _ in range(4)]
    pictures = [paint({(row, 3): "red"}) for row in range(6)]
    wanted = [Detector(bundle).detect(picture).boxes for picture in pictures]
    wrong: list[int] = []

    def work(detector: Detector) -> None:
        for index, picture in enumerate(pictures):
            if not np.array_equal(detector.detect(picture).boxes, wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=[detector]) for detector in detectors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_pool_loads_equal_networks_once(bundle: ModelBundle, tmp_path: Path) -> None:
    pool = InferencePool()
    first = pool.get(bundle, SessionConfig())
    assert pool.get(load_bundle(bundle.file), SessionConfig()) is first
    assert pool.get(bundle, SessionConfig(threads=2)) is not first
    other = load_bundle(write_detector_bundle(tmp_path / "other"))
    assert pool.get(other, SessionConfig()) is not first
    del first
    assert not pool.get(bundle, SessionConfig()).readers
