"""Bundles whose network takes a batch of any size are used like all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnn_perception.classification.classifier import Classifier
from cnn_perception.config import ExplainerConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.explain.explainer import Explainer
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.runtime.inference import Session
from cnn_perception.segmentation.segmenter import Segmenter
from models import (
    free_the_batch,
    paint,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)

PICTURE = paint({(2, 3): "red", (4, 4): "green"})


def test_detector(tmp_path: Path) -> None:
    fixed = load_bundle(write_detector_bundle(tmp_path / "fixed"))
    free = load_bundle(free_the_batch(write_detector_bundle(tmp_path / "free")))
    wanted, found = (Detector(bundle).detect(PICTURE) for bundle in (fixed, free))
    assert len(found.scores) == 2
    np.testing.assert_array_equal(found.boxes, wanted.boxes)
    np.testing.assert_array_equal(found.class_ids, wanted.class_ids)
    wanted, found = (
        Explainer(bundle, ExplainerConfig(score_threshold=0.5)).explain(PICTURE).heatmap
        for bundle in (fixed, free)
    )
    assert found.max() > 0
    np.testing.assert_array_equal(found, wanted)


def test_segmenter_and_classifier(tmp_path: Path) -> None:
    areas = [write_segmenter_bundle(tmp_path / name) for name in ("areas", "free_areas")]
    wanted, found = (
        Segmenter(load_bundle(folder)).segment(PICTURE)
        for folder in (areas[0], free_the_batch(areas[1]))
    )
    assert set(found.ravel()) == {0, 1, 2}
    np.testing.assert_array_equal(found, wanted)
    free = load_bundle(free_the_batch(write_classifier_bundle(tmp_path / "free_kinds")))
    scores = Classifier(free).classify(PICTURE)
    assert len(scores) == 3


def test_session_runs_any_batch(tmp_path: Path) -> None:
    session = Session(load_bundle(free_the_batch(write_detector_bundle(tmp_path / "free"))))
    # What a robot uses, and what the file says.
    assert {info.shape[0] for info in session.outputs} == {1}
    assert session.inputs[0].shape[0] is None
    images = np.random.default_rng(0).random((3, 3, 96, 128)).astype(np.float32)
    batch = session.run({"image": images})["logits"]
    single = [session.run({"image": image[None]})["logits"][0] for image in images]
    np.testing.assert_allclose(batch, np.stack(single), atol=1e-5)
