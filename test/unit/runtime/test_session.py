"""Sessions: answers, what is checked when one is made, and which provider runs."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.formats.boxes_scores import BoxesScoresFormat
from cnn_perception.formats.mask_logits import MaskLogitsFormat
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.runtime.inference import CPU, CUDA, Graph, Session
from models import write_classifier_bundle, write_detector_bundle, write_segmenter_bundle

CPU_ONLY = SessionConfig(provider="cpu")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return load_bundle(write_detector_bundle(tmp_path_factory.mktemp("models") / "colors"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return load_bundle(write_segmenter_bundle(tmp_path_factory.mktemp("models") / "areas"))


def test_answers_by_name(detector: ModelBundle) -> None:
    session = Session(detector, CPU_ONLY)
    image = np.zeros((1, 3, 96, 128), np.float32)
    image[0, 0, :16, :16] = 1.0
    answers = session.run({"image": image})
    assert answers["logits"].shape == (1, 240, 4)
    assert answers["logits"][0, 2, 1] == pytest.approx(10.0)
    assert set(answers) == {"logits", "deltas", "feature_0", "feature_1"}
    assert set(session.run({"image": image}, ["deltas"])) == {"deltas"}
    assert {info.name: info.shape for info in session.outputs}["feature_1"] == (1, 3, 3, 4)


def test_the_provider_that_runs_is_reported(
    detector: ModelBundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "cnn_perception"):
        session = Session(detector, CPU_ONLY)
    assert session.provider == CPU
    assert "model colors 1.0 runs on CPUExecutionProvider" in caplog.text


@pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA built in"
)
def test_cuda_is_refused_where_it_is_not_built_in(detector: ModelBundle) -> None:
    with pytest.raises(
        ModelError, match=r"built without it: replace onnxruntime by onnxruntime-gpu"
    ):
        Session(detector, SessionConfig(provider="cuda"))
    assert Session(detector, SessionConfig(provider="auto")).provider == CPU


@pytest.mark.skipif(
    CUDA not in onnxruntime.get_available_providers(), reason="this ONNX Runtime has no CUDA"
)
def test_cuda_runs_and_agrees_with_the_cpu(detector: ModelBundle) -> None:
    image = np.random.default_rng(0).random((1, 3, 96, 128)).astype(np.float32)
    on_cpu = Session(detector, CPU_ONLY).run({"image": image})
    session = Session(detector, SessionConfig(provider="cuda"))
    assert session.provider == CUDA
    for name, value in session.run({"image": image}).items():
        np.testing.assert_allclose(value, on_cpu[name], atol=1e-2)


@pytest.mark.parametrize(("choice", "fails"), [("cuda", True), ("auto", False)])
def test_a_silent_fallback_is_not_silent(
    detector: ModelBundle,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    choice: str,
    fails: bool,
) -> None:
    """A build with CUDA on a machine whose CUDA does not work: ONNX Runtime just takes the CPU."""
    real = onnxruntime.InferenceSession

    def fall_back(file: Any, options: Any, providers: list[str]) -> Any:
        assert providers == [CUDA, CPU]
        return real(file, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
    config = SessionConfig(provider=choice)
    if fails:
        with pytest.raises(ModelError, match=r"provider = 'cuda' but .* nvidia-smi"):
            Graph(detector.model, config)
    else:
        with caplog.at_level(logging.WARNING, "cnn_perception"):
            assert Graph(detector.model, config).provider == CPU
        assert (
            "runs on CPUExecutionProvider although CUDA is built in: check the driver"
            in caplog.text
        )


def test_files_that_are_no_network(detector: ModelBundle, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    whole = detector.model.read_bytes()
    for content in (b"", b"not a network", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"ONNX Runtime cannot load .*model\.onnx") as caught:
            Session(dataclasses.replace(detector, model=file), CPU_ONLY)
        assert "\n" not in str(caught.value)


def test_wrong_feeds_are_an_error_of_ours(detector: ModelBundle) -> None:
    session = Session(detector, CPU_ONLY)
    with pytest.raises(ModelError, match=r"failed to run"):
        session.run({"image": np.zeros((1, 3, 5, 5), np.float32)})
    with pytest.raises(ModelError, match=r"failed to run"):
        session.run({"picture": np.zeros((1, 3, 96, 128), np.float32)})


def _input(bundle: ModelBundle, **changes: Any) -> ModelBundle:
    return dataclasses.replace(bundle, input=dataclasses.replace(bundle.input, **changes))


def _output(bundle: ModelBundle, **changes: Any) -> ModelBundle:
    return dataclasses.replace(bundle, output=dataclasses.replace(bundle.output, **changes))


def test_the_input_is_checked(detector: ModelBundle) -> None:
    with pytest.raises(
        ModelError, match=r"input\.name = 'img' but model\.onnx has the inputs image"
    ):
        Session(_input(detector, name="img"), CPU_ONLY)
    text = (
        r"'image' of model.onnx is float32 \[1, 3, 96, 128\] but .*needs float32 \[1, 3, 96, 64\]"
    )
    with pytest.raises(ModelError, match=text):
        Session(_input(detector, width=64), CPU_ONLY)


def test_tensor_names_are_checked(detector: ModelBundle) -> None:
    tensors = {"class_logits": "logit", "box_deltas": "deltas"}
    with pytest.raises(ModelError, match=r"class_logits = 'logit' is no output .* mean logits\?"):
        Session(_output(detector, tensors=tensors), CPU_ONLY)
    graph = dataclasses.replace(detector.explain[0], feature_map="zzz")
    with pytest.raises(ModelError, match=r"explain\.feature_map = 'zzz' is no output .* deltas"):
        Session(dataclasses.replace(detector, explain=(graph,)), CPU_ONLY)


def test_the_number_of_labels_is_checked(detector: ModelBundle, tmp_path: Path) -> None:
    fewer = dataclasses.replace(detector, labels=("red", "green"))
    text = r"'logits' .* \[1, 240, 4\] but .* with 2 labels needs float32 \[1, 240, 3\]"
    with pytest.raises(ModelError, match=text):
        Session(fewer, CPU_ONLY)
    for writer, text in (
        (write_classifier_bundle, r"\[1, 3\] but"),
        (_logits, r"\[1, 4, 12, 16\]"),
    ):
        bundle = load_bundle(writer(tmp_path / writer.__name__))
        with pytest.raises(ModelError, match=text):
            Session(dataclasses.replace(bundle, labels=(*bundle.labels, "one more")), CPU_ONLY)


def _logits(folder: Path) -> Path:
    return write_segmenter_bundle(folder, form="mask_logits")


def test_the_number_of_default_boxes_is_checked(detector: ModelBundle) -> None:
    assert isinstance(detector.output, SsdRawFormat)
    fewer = dataclasses.replace(detector.output.default_boxes, aspect_ratios=((), ()))
    with pytest.raises(ModelError, match=r"needs float32 \[1, 120, 4\]"):
        Session(_output(detector, default_boxes=fewer), CPU_ONLY)


def test_sizes_named_alike_must_be_equal(detector: ModelBundle) -> None:
    # 240 scores but boxes of 4 numbers each: give it a tensor of another length as the boxes.
    tensors = {"scores": "logits", "boxes": "feature_0"}
    labels = ("a", "b", "c", "d")
    bundle = dataclasses.replace(
        detector, labels=labels, output=BoxesScoresFormat(tensors), explain=()
    )
    with pytest.raises(ModelError, match=r"'feature_0' .* needs float32 \[1, 240, 4\]"):
        Session(bundle, CPU_ONLY)


def test_element_types_are_checked(segmenter: ModelBundle) -> None:
    output = MaskLogitsFormat({"mask_logits": "mask"})
    with pytest.raises(ModelError, match=r"'mask' of model.onnx is uint8 .* needs float32"):
        Session(dataclasses.replace(segmenter, output=output), CPU_ONLY)
