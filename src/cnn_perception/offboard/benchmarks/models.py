"""The model benchmark: the same network by several runtimes, equal before they are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.classification.classifier import Classifier
from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.formats.format import DetectionFormat
from cnn_perception.image.preprocess import Preprocessor
from cnn_perception.messages.decode import decode_color
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.streams import camera_streams
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Session
from cnn_perception.segmentation.segmenter import Segmenter
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["Answers", "ModelResult", "Network", "measure", "read_pictures"]

Answers = Mapping[str, NDArray[Any]]
"""A network's output tensors by name."""

Network = Callable[[Float32Array], Answers]
"""A network in some runtime: float32 (1, 3, height, width) -> its output tensors."""

REFERENCE = "ONNX Runtime"
_ONE_THREAD = SessionConfig(provider="cpu", threads=1)
_TOLERANCE = 1e-3
_LABELS_OFF = 1e-3
"""Share of labels that may differ, where two are equally good."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """What was measured of one bundle.

    stages: milliseconds of processor time of each run, by what ran: parts of the work on a picture
    ("prepare", "candidates", "whole"), and the network alone by runtime. candidates: how many boxes
    the stage of that name decodes and suppresses. refused: runtimes that were not timed, and why.
    """

    bundle: ModelBundle
    stages: Mapping[str, list[float]]
    candidates: int
    refused: Mapping[str, str]

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them."""
        bundle = self.bundle
        return {
            "bundle": bundle.name,
            "version": bundle.version,
            "task": bundle.task,
            "input": f"{bundle.input.width}x{bundle.input.height}",
            "megabytes": round(bundle.model.stat().st_size / 1e6, 3),
            "candidates": self.candidates,
            "milliseconds": {
                stage: {
                    "p50": round(float(np.percentile(times, 50)), 4),
                    "p95": round(float(np.percentile(times, 95)), 4),
                    "min": round(min(times), 4),
                }
                for stage, times in self.stages.items()
            },
            "refused": dict(self.refused),
        }


def read_pictures(bag: Path, count: int) -> list[UInt8Array]:
    """Return `count` color pictures spread evenly over a bag; raises BagError without a camera."""
    with BagReader(bag) as reader:
        topic = camera_streams(reader).color
        messages = [message.message for message in reader.messages([topic])]
    chosen = [messages[index * len(messages) // count] for index in range(count)]
    return [decode_color(message) for message in chosen]


def measure(
    bundles: Sequence[ModelBundle],
    pictures: Sequence[UInt8Array],
    *,
    rounds: int,
    candidates: int,
    eager: Mapping[str, Network],
    progress: Callable[[int, int], None],
) -> list[ModelResult]:
    """Measure bundles on pictures, one thread, everything interleaved so that load hits all alike.

    Each runtime's answers are compared with ONNX Runtime's on all pictures first; who differs is
    not timed. candidates: boxes to be decoded and suppressed, made by lowering the threshold.
    eager: networks of PyTorch by bundle name, see `offboard.training.eager`.
    """
    cv2.setNumThreads(1)
    subjects = [_Subject(bundle, pictures, candidates, eager) for bundle in bundles]
    times: list[dict[str, list[float]]] = [{name: [] for name in each.work} for each in subjects]
    for done in range(-1, rounds):  # the first round only warms up
        progress(done, rounds)
        for number in range(len(pictures)):
            for subject, rows in zip(subjects, times, strict=True):
                for name, work in subject.work.items():
                    start = time.thread_time()
                    work(number)
                    elapsed = time.thread_time() - start
                    if done >= 0:
                        rows[name].append(1e3 * elapsed)
    return [
        ModelResult(subject.bundle, rows, subject.candidates, subject.refused)
        for subject, rows in zip(subjects, times, strict=True)
    ]


class _Subject:
    """A bundle with everything about it that can be timed; each work takes a picture's number."""

    def __init__(
        self,
        bundle: ModelBundle,
        pictures: Sequence[UInt8Array],
        candidates: int,
        eager: Mapping[str, Network],
    ) -> None:
        self.bundle = bundle
        self.candidates = 0
        self.refused: dict[str, str] = {}
        self.work: dict[str, Callable[[int], object]] = {}
        prepare = Preprocessor(bundle.input)
        self._tensors = [prepare(picture)[0].copy() for picture in pictures]
        self.work["prepare"] = lambda number: prepare(pictures[number])
        for name, network in self._networks(eager):
            self._add(name, network)
        if bundle.task == "detection":
            detector = Detector(bundle, session=_ONE_THREAD)
            self._add_candidates(bundle, pictures, candidates)
            self.work["whole"] = lambda number: detector.detect(pictures[number])
        elif bundle.task == "segmentation":
            segmenter = Segmenter(bundle, session=_ONE_THREAD)
            self.work["whole"] = lambda number: segmenter.segment(pictures[number])
        else:
            classifier = Classifier(bundle, session=_ONE_THREAD)
            self.work["whole"] = lambda number: classifier.classify(pictures[number])

    def _networks(self, eager: Mapping[str, Network]) -> Iterator[tuple[str, Network]]:
        """Yield the runtimes, the reference first; those that cannot load the file are refused."""
        bundle = self.bundle
        names = list(bundle.output.tensors.values())
        session = Session(bundle, _ONE_THREAD)
        yield REFERENCE, lambda image: session.run({bundle.input.name: image}, names)
        try:
            net = cv2.dnn.readNetFromONNX(str(bundle.model))
        except cv2.error as error:
            self.refused["OpenCV"] = f"cannot load it: {_one_line(error)}"
        else:
            yield "OpenCV", _opencv(net, names)
        if bundle.name in eager:
            yield "PyTorch", eager[bundle.name]

    def _add(self, name: str, network: Network) -> None:
        """Add a runtime, unless its answers are not those of the reference."""
        tensors = self._tensors
        if name == REFERENCE:
            self._wanted = [dict(network(image)) for image in tensors]
        else:
            try:
                for image, wanted in zip(tensors, self._wanted, strict=True):
                    complaint = _difference(network(image), wanted)
                    if complaint:
                        self.refused[name] = complaint
                        return
            except cv2.error as error:
                self.refused[name] = f"cannot run it: {_one_line(error)}"
                return
        self.work[name] = lambda number: network(tensors[number])

    def _add_candidates(
        self, bundle: ModelBundle, pictures: Sequence[UInt8Array], wanted: int
    ) -> None:
        """Add decoding and suppression of so many boxes of each picture, if there are as many."""
        output = bundle.output
        assert isinstance(output, DetectionFormat)
        found = []
        for picture in pictures:
            detector = Detector(bundle, session=_ONE_THREAD)
            raw = detector.infer(picture)
            every = output.decode(output.by_role(raw.tensors), 0.0, bundle)
            scores = np.sort(every.scores)[::-1][:wanted]
            threshold = float(scores[-1]) if len(scores) else 0.0
            detector.config = DetectorConfig(score_threshold=threshold)
            self.candidates = max(self.candidates, len(scores))
            found.append((detector, raw))
        self.work["candidates"] = lambda number: found[number][0].select(found[number][1])


def _opencv(net: Any, names: list[str]) -> Network:
    def run(image: Float32Array) -> Answers:
        net.setInput(image)
        return dict(zip(names, net.forward(names), strict=True))

    return run


def _difference(found: Answers, wanted: Answers) -> str:
    """Return in what two answers differ, empty where they are equal."""
    for name, value in wanted.items():
        other = np.asarray(found[name])
        if other.shape != value.shape:
            return f"{name} is {other.shape} instead of {value.shape}"
        if np.issubdtype(value.dtype, np.integer):
            share = float((other != value).mean())
            if share > _LABELS_OFF:
                return f"{name} has other labels in {share:.1%} of the pixels"
            continue
        off = float(np.abs(other - value).max()) if value.size else 0.0
        if not off <= _TOLERANCE:
            return f"{name} is off by {off:.2g}"
    return ""


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
