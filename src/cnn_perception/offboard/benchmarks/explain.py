"""What an explanation costs beside a detector: jobs for `race`, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import ExplainerConfig, SessionConfig
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ConfigError
from cnn_perception.explain.explainer import Explainer, LoadedGraph
from cnn_perception.formats.format import softmax
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.image.draw import blend_heatmap
from cnn_perception.image.preprocess import Preprocessor
from cnn_perception.offboard.benchmarks.race import Contender, Gap, Job
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference, RawAnswer
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["ONE_THREAD", "Twin", "apart", "detection_jobs", "normalised", "overlay_job"]

ONE_THREAD = SessionConfig(provider="cpu", threads=1)
_MOST = 10
"""Detections that are explained together."""
_FRAMES = 5
"""Pictures in turns, more than an `Inference` remembers."""


class Twin(Protocol):
    """A bundle's network in PyTorch."""

    def infer(self, tensor: Float32Array) -> Mapping[str, NDArray[Any]]:
        """Return the bundle's output tensors by name, without gradients."""

    def grad_cam(
        self, tensor: Float32Array, feature_map: str, row: int, class_index: int
    ) -> Float32Array:
        """Return pytorch-grad-cam's map (h, w) in [0, 1] of a default box's class logit."""


def normalised(heat: Float32Array) -> Float32Array:
    """Return a map in [0, 1] as pytorch-grad-cam makes it of one."""
    heat = heat - heat.min()
    return np.asarray(heat / (np.float32(1e-7) + heat.max()), np.float32)


def apart(found: Float32Array, wanted: Float32Array) -> float:
    """Return the largest difference of two maps, infinity where one has another size."""
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.abs(found - wanted).max())


def detection_jobs(bundle: ModelBundle, rgb: UInt8Array, twin: Twin | None = None) -> list[Job]:
    """Return what may be timed of a detector with explain graphs on a picture.

    bundle: one of format ``ssd_raw``; twin: where pytorch-grad-cam is there to be compared. Raises
    ConfigError when nothing is found in the picture, ModelError without explain graphs.
    """
    cv2.setNumThreads(1)
    if not isinstance(bundle.output, SsdRawFormat):
        raise ConfigError(f"{bundle.file}: output.format is not ssd_raw: give another model")
    detector = Detector(bundle, session=ONE_THREAD)
    found = detector.detect(rgb)
    if not len(found.boxes) or found.anchors is None:
        raise ConfigError(f"{bundle.name} finds nothing in the picture: give another")
    detect = Contender("detector alone", lambda turn: detector.detect(rgb))
    best = (int(found.anchors[0]), int(found.class_ids[0]) + 1)  # the background is 0
    return [
        _best_detection(bundle, rgb, twin, detect, best),
        _graphs(bundle, rgb, twin, detect),
        _further_detections(bundle, rgb, len(found.boxes)),
        _shared_network(bundle, rgb),
    ]


def overlay_job(rgb: UInt8Array, heat: Float32Array, others: Sequence[Contender] = ()) -> Job:
    """Return the drawing of a heat map (H, W) over a picture (H, W, 3); others come first."""
    cv2.setNumThreads(1)
    height, width = heat.shape
    return Job(
        f"overlay, {width}x{height}",
        "Picture and heat map at the same size in, RGB picture out. Colors are each one's own, so "
        "that there is nothing to compare.",
        [*others, Contender("blend_heatmap", lambda turn: blend_heatmap(rgb, heat))],
    )


def _best_detection(
    bundle: ModelBundle,
    rgb: UInt8Array,
    twin: Twin | None,
    detect: Contender,
    best: tuple[int, int],
) -> Job:
    explainer = Explainer(bundle, session=ONE_THREAD)
    label = bundle.labels[best[1] - 1]
    says = (
        "Explainer: picture in, heat map over the picture out, with preparation, network, "
        "decoding, suppression and the box of evidence."
    )
    contenders: list[Contender] = []
    difference = None
    if twin is not None:
        contenders = _pytorch_grad_cam(bundle, rgb, twin, best)
        wanted = np.asarray(contenders[0].run(0), np.float32)
        difference = apart(normalised(explainer.explain(rgb).heatmap), wanted)
        says += (
            " pytorch-grad-cam after detecting: the same, by a forward pass of the PyTorch twin "
            "without gradients, the same decoding and suppression, and then its call, which has a "
            "forward pass of its own; alone: nothing but that call, as if tensor, default box and "
            "layer were known."
        )
    contenders.append(Contender("Explainer", lambda turn: explainer.explain(rgb), difference))
    return Job(f"{bundle.name}: the best detection ({label})", says, [*contenders, detect])


def _pytorch_grad_cam(
    bundle: ModelBundle, rgb: UInt8Array, twin: Twin, best: tuple[int, int]
) -> list[Contender]:
    """Return the whole way from the picture to the heat map, and pytorch-grad-cam's call."""
    assert isinstance(bundle.output, SsdRawFormat)
    boxes = bundle.output.default_boxes
    layers = {graph.level: graph.feature_map for graph in bundle.explain}
    detector = Detector(bundle, session=ONE_THREAD)
    prepare = Preprocessor(bundle.input)
    tensor = prepare(rgb)[0].copy()
    layer = layers[boxes.locate(best[0])[0]]

    def whole(turn: int) -> Float32Array:
        tensor, placement = prepare(rgb)
        found = detector.select(RawAnswer(twin.infer(tensor), placement))
        assert found.anchors is not None
        row, class_index = int(found.anchors[0]), int(found.class_ids[0]) + 1
        cam = twin.grad_cam(tensor, layers[boxes.locate(row)[0]], row, class_index)
        return normalised(np.asarray(placement.map_to_source(cam), np.float32))

    return [
        Contender("pytorch-grad-cam after detecting", whole),
        Contender("pytorch-grad-cam alone", lambda turn: twin.grad_cam(tensor, layer, *best)),
    ]


def _graphs(bundle: ModelBundle, rgb: UInt8Array, twin: Twin | None, detect: Contender) -> Job:
    """Return the explain graph of each level, at the default box that is surest of a class."""
    inference = Inference(bundle, ONE_THREAD)
    graphs = [
        (spec, LoadedGraph(bundle, spec, inference.session, ONE_THREAD)) for spec in bundle.explain
    ]
    raw = inference.join(name for _, graph in graphs for name in graph.tensors)(rgb)
    tensor = Preprocessor(bundle.input)(rgb)[0]
    scores = softmax(raw.tensors[bundle.output.tensors["class_logits"]][0])[:, 1:]
    contenders = [detect]
    for spec, graph in graphs:
        of_level = scores[spec.first : spec.first + spec.count]
        anchor, class_id = divmod(int(of_level.argmax()), scores.shape[1])
        asked = {"anchor": np.array([anchor]), "class_index": np.array([class_id + 1])}

        def run(
            turn: int, graph: LoadedGraph = graph, asked: dict[str, NDArray[Any]] = asked
        ) -> Float32Array:
            return graph.cam(raw.tensors, asked, "gradcam")

        difference = None
        if twin is not None:
            wanted = twin.grad_cam(tensor, spec.feature_map, spec.first + anchor, class_id + 1)
            difference = apart(normalised(normalised(np.maximum(run(0), 0))), wanted)
        rows, columns = run(0).shape
        contenders.append(Contender(f"level {spec.level}, {columns}x{rows}", run, difference))
    return Job(
        f"{bundle.name}: explain graphs alone",
        "Feature map and default box in, class activation map out, right after the detector or "
        "another graph.",
        contenders,
    )


def _further_detections(bundle: ModelBundle, rgb: UInt8Array, found: int) -> Job:
    most = min(found, _MOST)

    def explaining(answers: int) -> Contender:
        config = ExplainerConfig(max_answers=answers, budget_ms=1e4)
        explainer = Explainer(bundle, config, ONE_THREAD)
        return Contender(f"{answers} explained", lambda turn: explainer.explain(rgb))

    one = explaining(1)
    several = [explaining(most)] if most > 1 else []
    return Job(
        f"{bundle.name}: several detections of one picture",
        "Picture in, one heat map over the picture out, the network run once.",
        [one, *several],
        gap=Gap("each further detection", several[0].name, one.name, most - 1) if several else None,
    )


def _shared_network(bundle: ModelBundle, rgb: UInt8Array) -> Job:
    """Return detecting and explaining the same pictures, with two networks and with one."""
    frames = [rgb.copy() for _ in range(_FRAMES)]
    for number, frame in enumerate(frames):
        frame[0, 0] = number  # a picture that is still known would not be looked at again

    def both(name: str, first: Inference, second: Inference) -> tuple[Contender, Float32Array]:
        detector = Detector(bundle, inference=first)
        explainer = Explainer(bundle, inference=second)

        def run(turn: int) -> Float32Array:
            frame = frames[turn % _FRAMES]
            detector.detect(frame)
            return explainer.explain(frame).heatmap

        return Contender(name, run), run(-1)

    two, wanted = both(
        "a network each", Inference(bundle, ONE_THREAD), Inference(bundle, ONE_THREAD)
    )
    inference = Inference(bundle, ONE_THREAD)
    one, found = both("one network shared", inference, inference)
    one = Contender(one.name, one.run, apart(found, wanted))
    return Job(
        f"{bundle.name}: detector and explainer on the same pictures",
        "Picture in, detections and heat map out; with one network whoever comes second takes the "
        "answer that is there.",
        [two, one],
        gap=Gap("what sharing saves", two.name, one.name),
    )
