"""Grad-CAM of live answers, with the backward pass inside ONNX graphs: no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import DetectorConfig, ExplainerConfig, SessionConfig
from cnn_perception.detection.candidates import softmax
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.image.preprocess import Placement, Preprocessor
from cnn_perception.runtime.bundle import ExplainGraph, ModelBundle
from cnn_perception.runtime.conformance import check_explain_graph
from cnn_perception.runtime.graph import Graph, TensorInfo
from cnn_perception.runtime.session import Session
from cnn_perception.types import Explanation, Float32Array, UInt8Array

__all__ = ["Explainer"]

_MOST_DETECTIONS = 1000
"""How many are looked at: the best of the target class may be far behind the best of all."""


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """The one answer to explain, and what its explain graph needs."""

    class_id: int
    score: float
    box: Float32Array | None
    level: int
    feeds: Mapping[str, NDArray[Any]]


class Explainer:
    """Shows where a picture speaks for what the network found in it (Selvaraju et al. 2017).

    For a detector that is the best detection's class logit at its own default box; for a classifier
    the best class. Raises ModelError when the bundle has no explain graphs or they do not fit it,
    ConfigError when the target class is none of its labels. One thread at a time.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        config: ExplainerConfig | None = None,
        session: SessionConfig | None = None,
    ) -> None:
        if not bundle.explain:
            raise ModelError(
                f"{bundle.file}: the bundle has no explain graphs: give one that has, "
                "'cnn-perception models list' tells which"
            )
        self.bundle = bundle
        self._subject: _Detections | _Classes = (
            _Classes(bundle, session)
            if bundle.output.default_boxes is None
            else _Detections(bundle, session)
        )
        self._graphs = {
            graph.level: _ExplainGraph(bundle, graph, self._subject.session, session)
            for graph in bundle.explain
        }
        levels = len(bundle.output.default_boxes.feature_maps) if bundle.output.default_boxes else 1
        missing = [str(level) for level in range(levels) if level not in self._graphs]
        if missing:
            raise ModelError(
                f"{bundle.file}: no explain graph for level {', '.join(missing)}: add what is "
                f"missing of levels 0 to {levels - 1}"
            )
        self.config = config or ExplainerConfig()

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self.bundle.labels

    @property
    def provider(self) -> str:
        """The execution provider that really runs the network, by ONNX Runtime's name."""
        return self._subject.session.provider

    @property
    def config(self) -> ExplainerConfig:
        """The settings; may be replaced at any time, and hold from the next picture on."""
        return self._config

    @config.setter
    def config(self, config: ExplainerConfig) -> None:
        name = config.target_class
        if name and name not in self.labels:
            raise ConfigError(
                f"target_class = {name!r} is no label of {self.bundle.name}: choose one of "
                f"{', '.join(self.labels)}, or leave it empty"
            )
        target = self.labels.index(name) if name else None
        threshold = config.score_threshold
        score = self.bundle.thresholds.score if threshold < 0 else float(threshold)
        self._config = config
        self._wanted = (target, score)  # one assignment, as another thread may be reading

    def caption(self, explanation: Explanation) -> str:
        """Return the words that stand under a heat map: what is explained, and its score."""
        if explanation.class_id is None:
            return "nothing to explain"
        return f"{self.labels[explanation.class_id]} {explanation.score:.2f}"

    def explain(self, rgb: UInt8Array) -> Explanation:
        """Return the heat map of the best answer for an RGB uint8 (H, W, 3) picture.

        When no answer reaches the score threshold, the map is zero and the class id None.
        """
        answer, placement = self._subject.best(rgb, *self._wanted)
        if answer is None:
            return Explanation(np.zeros(rgb.shape[:2], np.float32), None, 0.0)
        cam = self._graphs[answer.level].run(answer.feeds)
        return Explanation(_heatmap(cam, placement), answer.class_id, answer.score, answer.box)


class _Detections:
    """Finds the detection to explain."""

    def __init__(self, bundle: ModelBundle, session: SessionConfig | None) -> None:
        assert bundle.output.default_boxes is not None
        self._detector = Detector(bundle, session=session)
        self._boxes = bundle.output.default_boxes
        self._maps = {graph.level: graph.feature_map for graph in bundle.explain}
        self.session = self._detector.session

    def best(
        self, rgb: UInt8Array, target: int | None, threshold: float
    ) -> tuple[_Answer | None, Placement]:
        self._detector.config = DetectorConfig(
            score_threshold=threshold, max_detections=_MOST_DETECTIONS
        )
        raw = self._detector.infer(rgb, tuple(dict.fromkeys(self._maps.values())))
        found = self._detector.select(raw)
        candidates = np.flatnonzero(found.class_ids == target) if target is not None else [0]
        if not len(found) or not len(candidates) or found.anchors is None:
            return None, raw.placement
        index = int(candidates[0])
        level, anchor = self._boxes.locate(int(found.anchors[index]))
        class_id = int(found.class_ids[index])
        feeds = {
            "feature_map": raw.tensors[self._maps[level]],
            "anchor": np.array([anchor], np.int64),
            "class_index": np.array([class_id + 1], np.int64),  # the background is 0
        }
        score = float(found.scores[index])
        return _Answer(class_id, score, found.boxes[index], level, feeds), raw.placement


class _Classes:
    """Finds the class to explain."""

    def __init__(self, bundle: ModelBundle, session: SessionConfig | None) -> None:
        self._input = bundle.input.name
        self._logits = bundle.output.tensors["class_logits"]
        self._map = bundle.explain[0].feature_map
        self._preprocess = Preprocessor(bundle.input)
        self.session = Session(bundle, session)

    def best(
        self, rgb: UInt8Array, target: int | None, threshold: float
    ) -> tuple[_Answer | None, Placement]:
        tensor, placement = self._preprocess(rgb)
        tensors = self.session.run({self._input: tensor}, [self._logits, self._map])
        scores = softmax(tensors[self._logits][0])
        class_id = int(scores.argmax()) if target is None else target
        score = float(scores[class_id])
        if score < threshold:
            return None, placement
        feeds = {
            "feature_map": tensors[self._map],
            "class_index": np.array([class_id], np.int64),
        }
        return _Answer(class_id, score, None, 0, feeds), placement


class _ExplainGraph:
    """One explain graph, checked against the network whose feature map it reads."""

    def __init__(
        self,
        bundle: ModelBundle,
        spec: ExplainGraph,
        network: Session,
        session: SessionConfig | None,
    ) -> None:
        self._graph = Graph(spec.file, session or SessionConfig())
        (feature,) = (info for info in network.outputs if info.name == spec.feature_map)
        check_explain_graph(bundle, spec.file.name, self._graph.inputs, feature)
        self._warm_up(feature)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Float32Array:
        """Return the class activation map, float32 (h, w), of any range."""
        (cam,) = self._graph.run(feeds).values()
        return np.asarray(cam[0], np.float32)

    def _warm_up(self, feature: TensorInfo) -> None:
        feeds = {
            tensor.name: np.zeros(1, np.int64)
            for tensor in self._graph.inputs
            if tensor.name != "feature_map"
        }
        shape = tuple(side or 1 for side in feature.shape)
        answers = self._graph.run({"feature_map": np.zeros(shape, np.float32), **feeds})
        shapes = [tuple(answer.shape) for answer in answers.values()]
        if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] != 1:
            raise ModelError(
                f"{self._graph.file} answers with shapes {shapes}: export it with one output "
                "(1, rows, columns)"
            )


def _heatmap(cam: Float32Array, placement: Placement) -> Float32Array:
    """Return a class activation map in [0, 1] over the picture; what speaks against is 0."""
    heat = placement.map_to_source(np.maximum(cam, 0), "linear")
    top = float(heat.max())
    if not np.isfinite(top):
        raise ModelError(
            "the explain graph answers with values that are not finite: export it again"
        )
    return np.asarray(heat / top if top > 0 else heat, np.float32)
