"""Grad-CAM of live answers, with the backward pass inside ONNX graphs: no PyTorch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import ExplainerConfig, SessionConfig
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.explain.subjects import Question, read_region, subject_of
from cnn_perception.image.preprocess import Placement
from cnn_perception.runtime.bundle import ExplainGraph, ModelBundle
from cnn_perception.runtime.conformance import check_explain_graph
from cnn_perception.runtime.inference import Graph, Inference, Predictor, Session
from cnn_perception.types import ExplainedAnswer, Explanation, Float32Array, UInt8Array

__all__ = ["Explainer", "LoadedGraph", "evidence_box"]

_OUTPUTS = {"gradcam": "cam", "gradcam++": "cam_plus_plus"}

_NAMED = 3
"""Answers that a caption names; more are counted."""


class Explainer(Predictor):
    """Shows where a picture speaks for what the network found in it (Selvaraju et al. 2017).

    For a detector that is a detection's class logit at its own default box; for a classifier a
    class's logit; for masks the sum of a class's logits over its region. inference: the bundle's
    network, where it is shared. Raises ModelError when the bundle has no explain graphs or they do
    not fit it, ConfigError when the settings do not. One thread at a time.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        config: ExplainerConfig | None = None,
        session: SessionConfig | None = None,
        inference: Inference | None = None,
    ) -> None:
        if not bundle.explain:
            raise ModelError(
                f"{bundle.file}: the bundle has no explain graphs: make them with "
                f"'cnn-perception models explain {bundle.name}'"
            )
        inference = inference or Inference(bundle, session)
        self._graphs = {
            graph.level: LoadedGraph(bundle, graph, inference.session, session)
            for graph in bundle.explain
        }
        some_graph = next(iter(self._graphs.values()))
        self._subject = subject_of(bundle, inference, some_graph.region_size)
        super().__init__(bundle, self._subject.reader)
        boxes = bundle.output.boxes_per_level
        highest = max(self._graphs) if boxes is None else len(boxes) - 1
        missing = [str(level) for level in range(highest + 1) if level not in self._graphs]
        if missing:
            raise ModelError(
                f"{bundle.file}: no explain graph for level {', '.join(missing)}: add what is "
                f"missing of levels 0 to {highest}"
            )
        self.infer.want(name for graph in self._graphs.values() for name in graph.tensors)
        self.config = config or ExplainerConfig()

    @property
    def config(self) -> ExplainerConfig:
        """The settings; may be replaced at any time, and hold from the next picture on."""
        return self._config

    @config.setter
    def config(self, config: ExplainerConfig) -> None:
        self._question = self.question(config)  # one assignment, as another thread may be reading
        self._config = config

    def question(self, config: ExplainerConfig) -> Question:
        """Return what settings ask for; raises ConfigError where that makes no sense here."""
        name = config.target_class
        if name and name not in self.labels:
            raise ConfigError(
                f"target_class = {name!r} is no label of {self.bundle.name}: choose one of "
                f"{', '.join(self.labels)}, or leave it empty"
            )
        if any(config.method not in graph.methods for graph in self._graphs.values()):
            bundle = self.bundle.name
            raise ConfigError(
                f"method = {config.method!r}: the explain graphs of {bundle} have no Grad-CAM++: "
                f"make them anew with 'cnn-perception models explain {bundle}'"
            )
        threshold = config.score_threshold
        question = Question(
            self.labels.index(name) if name else None,
            read_region(config.region),
            self.bundle.thresholds.score if threshold < 0 else float(threshold),
            config.max_answers,
            config.method,
            config.budget_ms,
            config.evidence_share,
        )
        self._subject.check(question)
        return question

    def caption(self, explanation: Explanation) -> str:
        """Return the words that stand under a heat map: what is explained, and its score."""
        if explanation.best is None:
            return "nothing to explain"
        words = [f"{self.labels[x.class_id]} {x.score:.2f}" for x in explanation.answers]
        more = f" + {len(words) - _NAMED}" if len(words) > _NAMED else ""
        return ", ".join(words[:_NAMED]) + more

    def explain(self, rgb: UInt8Array, question: Question | None = None) -> Explanation:
        """Return the heat map of the best answers for an RGB uint8 (H, W, 3) picture.

        question: another than that of the settings. When no answer reaches the score threshold, the
        map is zero and there are no answers. The first is always explained, the others as long as
        the budget lasts.
        """
        question = question or self._question
        raw, answers = self._subject.answers(rgb, question)
        heatmap = np.zeros(rgb.shape[:2], np.float32)
        explained: list[ExplainedAnswer] = []
        start = time.perf_counter()
        for answer in answers:
            count = len(explained)
            spent_ms = (time.perf_counter() - start) * 1e3
            if count and spent_ms * (count + 1) / count > question.budget_ms:
                break  # the next one would not be done in time
            cam = self._graphs[answer.level].cam(raw.tensors, answer.asked, question.method)
            heat = _heatmap(cam, raw.placement)
            heatmap = np.maximum(heatmap, heat, out=heatmap) if count else heat
            evidence = _evidence(cam, raw.placement, question.evidence_share)
            explained.append(ExplainedAnswer(answer.class_id, answer.score, answer.box, evidence))
        return Explanation(heatmap, tuple(explained), len(answers) - len(explained))


class LoadedGraph(Graph):
    """One explain graph. Raises ModelError when it does not fit the network."""

    def __init__(
        self,
        bundle: ModelBundle,
        spec: ExplainGraph,
        network: Session,
        config: SessionConfig | None,
    ) -> None:
        super().__init__(spec.file, config or SessionConfig())
        self._feature_map = spec.feature_map
        check_explain_graph(bundle, spec, self.inputs, network.outputs)
        self.joins = tuple(
            tensor.name
            for tensor in self.inputs
            if tensor.name in {output.name for output in network.outputs}
        )
        self.region_size: tuple[int, int] | None = next(
            (
                (int(tensor.shape[2] or 0), int(tensor.shape[1] or 0))
                for tensor in self.inputs
                if tensor.name == "region"
            ),
            None,
        )
        self.methods = self._warm_up(network)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the network's tensors that it takes: the feature map, and what joins it."""
        return (self._feature_map, *self.joins)

    def cam(
        self, tensors: Mapping[str, NDArray[Any]], asked: Mapping[str, NDArray[Any]], method: str
    ) -> Float32Array:
        """Return the class activation map, float32 (h, w), of any range.

        tensors: those of the network's answer, by name; asked: what else the graph takes.
        """
        feeds = {"feature_map": tensors[self._feature_map], **asked}
        feeds |= {name: tensors[name] for name in self.joins}
        (cam,) = self.run(feeds, [self.methods[method]]).values()
        return np.asarray(cam[0], np.float32)

    def _warm_up(self, network: Session) -> Mapping[str, str]:
        """Run once, and return the name of the output that answers each method."""
        shapes = {output.name: output.shape for output in network.outputs}
        feeds = {
            tensor.name: np.zeros(
                [side or 1 for side in shapes.get(tensor.name, tensor.shape)],
                np.int64 if tensor.dtype == "int64" else np.float32,
            )
            for tensor in self.inputs
        }
        feature = [side or 1 for side in shapes[self._feature_map]]
        answers = self.run({**feeds, "feature_map": np.zeros(feature, np.float32)})
        found = {name: tuple(answer.shape) for name, answer in answers.items()}
        if "cam" not in found or any(len(x) != 3 or x[0] != 1 for x in found.values()):
            raise ModelError(
                f"{self.file} answers with {found}: export it with an output cam (1, rows, "
                "columns), and cam_plus_plus if wanted"
            )
        return {method: name for method, name in _OUTPUTS.items() if name in found}


def _heatmap(cam: Float32Array, placement: Placement) -> Float32Array:
    """Return a class activation map in [0, 1] over the picture; what speaks against is 0."""
    heat = placement.map_to_source(np.maximum(cam, 0), "linear")
    top = float(heat.max())
    if not np.isfinite(top):
        raise ModelError(
            "the explain graph answers with values that are not finite: export it again"
        )
    return np.asarray(heat / top if top > 0 else heat, np.float32)


def _evidence(cam: Float32Array, placement: Placement, share: float) -> Float32Array | None:
    """Return the corners of the heat in pixels of the picture, None of a map without any.

    They are found at half the resolution of the network's input, which is finer than its maps.
    """
    width, height = (max(1, side // 2) for side in placement.input)
    heat = cv2.resize(np.maximum(cam, 0), (width, height), interpolation=cv2.INTER_LINEAR)
    box = evidence_box(np.asarray(heat, np.float32), share)
    if box is None:
        return None
    scale = np.array(placement.input * 2, np.float32) / (width, height, width, height)
    corners: Float32Array = placement.boxes_to_source(np.asarray(box * scale, np.float32))[0]
    return corners


def evidence_box(heat: Float32Array, share: float = 0.2) -> Float32Array | None:
    """Return the box around the largest patch of heat, float32 (4,) corners in the map's pixels.

    The patch is the largest connected one of what is above a share of the largest value, of 20 % in
    Zhou et al. 2016, section 3.2. heat: float32 (h, w), not negative; one of zeros has none.
    """
    top = float(heat.max(initial=0.0))
    if top <= 0:
        return None
    hot = (heat > np.float32(share * top)).view(np.uint8)
    _, _, patches, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    x, y, width, height = patches[1 + int(patches[1:, cv2.CC_STAT_AREA].argmax()), :4].tolist()
    return np.array([x, y, x + width, y + height], np.float32)
