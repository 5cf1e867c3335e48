"""The model benchmark: what is timed has been proven equal, and who differs is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.detection.detector import Detector
from cnn_perception.offboard.benchmarks.models import Answers, ModelResult, measure, read_pictures
from cnn_perception.resources import demo_drive
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.runtime.inference import Session
from cnn_perception.types import Float32Array
from models import (
    paint,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)

PICTURES = [paint({(2, 3): "red"}), paint({(1, 1): "green", (4, 4): "red"})]


def run(*folders: Path, candidates: int = 5, **eager: object) -> list[ModelResult]:
    bundles = [load_bundle(folder) for folder in folders]
    return measure(
        bundles,
        PICTURES,
        rounds=3,
        candidates=candidates,
        eager=eager,  # type: ignore[arg-type]
        progress=lambda done, total: None,
    )


class Skewed:
    """ONNX Runtime's answers, a little off."""

    def __init__(self, bundle: ModelBundle, off: float) -> None:
        self._session, self._bundle, self._off = Session(bundle), bundle, off

    def __call__(self, image: Float32Array) -> Answers:
        names = list(self._bundle.output.tensors.values())
        answers = self._session.run({self._bundle.input.name: image}, names)
        return {name: (value + self._off).astype(value.dtype) for name, value in answers.items()}


def test_every_task_is_timed_in_stages(tmp_path: Path) -> None:
    folders = (
        write_detector_bundle(tmp_path / "colors"),
        write_segmenter_bundle(tmp_path / "areas"),
        write_classifier_bundle(tmp_path / "kinds"),
    )
    detector, segmenter, classifier = run(*folders)
    expected = {"prepare", "ONNX Runtime", "whole"}
    for result in (detector, segmenter, classifier):
        assert expected <= set(result.stages)
        assert all(len(times) == 3 * len(PICTURES) for times in result.stages.values())
        row = result.summary()
        assert row["milliseconds"]["whole"]["p50"] >= row["milliseconds"]["whole"]["min"] > 0
        size = (tmp_path / row["bundle"] / "model.onnx").stat().st_size
        assert row["megabytes"] == round(size / 1e6, 3)
    assert "candidates" in detector.stages and detector.candidates == 5
    assert "candidates" not in segmenter.stages


def test_a_runtime_that_differs_is_named_and_not_timed(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    bundle = load_bundle(folder)
    (near,) = run(folder, colors=Skewed(bundle, 1e-4))
    assert "PyTorch" in near.stages and "PyTorch" not in near.refused
    (far,) = run(folder, colors=Skewed(bundle, 0.1))
    assert far.refused["PyTorch"] == "logits is off by 0.1"
    assert "PyTorch" not in far.stages
    masks = write_segmenter_bundle(tmp_path / "areas")
    (other,) = run(masks, areas=Skewed(load_bundle(masks), 1))
    assert "other labels in 100" in other.refused["PyTorch"]


def test_opencv_that_cannot_load_a_network_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> None:
        raise cv2.error(f"no importer for\n{path}")

    monkeypatch.setattr(cv2.dnn, "readNetFromONNX", fail)
    (result,) = run(write_segmenter_bundle(tmp_path / "areas"))
    assert result.refused["OpenCV"].startswith("cannot load it: no importer for /")


def test_candidates_are_as_many_as_there_are(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    (result,) = run(folder, candidates=100000)
    count = Detector(load_bundle(folder)).infer.session.outputs[0].shape[1]
    assert result.candidates == 3 * (count or 0)


def test_pictures_of_the_shipped_drive() -> None:
    first, second = read_pictures(demo_drive(), 2)
    assert first.shape == second.shape and first.dtype == np.uint8
    assert (first != second).any()
