"""A bundle's explain graphs in ONNX Runtime, checked against the network that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.runtime.bundle import ExplainGraph, ModelBundle
from cnn_perception.runtime.conformance import check_explain_graph
from cnn_perception.runtime.inference import Graph, Session
from cnn_perception.types import Float32Array

__all__ = ["LoadedGraph"]

_OUTPUTS = {"gradcam": "cam", "gradcam++": "cam_plus_plus"}


class LoadedGraph:
    """One explain graph. Raises ModelError when it does not fit the network."""

    def __init__(
        self,
        bundle: ModelBundle,
        spec: ExplainGraph,
        network: Session,
        config: SessionConfig | None,
    ) -> None:
        self._graph = Graph(spec.file, config or SessionConfig())
        self._feature_map = spec.feature_map
        check_explain_graph(bundle, spec, self._graph.inputs, network.outputs)
        self.joins = tuple(
            tensor.name
            for tensor in self._graph.inputs
            if tensor.name in {output.name for output in network.outputs}
        )
        self.region_size: tuple[int, int] | None = next(
            (
                (int(tensor.shape[2] or 0), int(tensor.shape[1] or 0))
                for tensor in self._graph.inputs
                if tensor.name == "region"
            ),
            None,
        )
        self.methods = self._warm_up(network)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the network's tensors that it takes: the feature map, and what joins it."""
        return (self._feature_map, *self.joins)

    def run(
        self, tensors: Mapping[str, NDArray[Any]], asked: Mapping[str, NDArray[Any]], method: str
    ) -> Float32Array:
        """Return the class activation map, float32 (h, w), of any range.

        tensors: those of the network's answer, by name; asked: what else the graph takes.
        """
        feeds = {"feature_map": tensors[self._feature_map], **asked}
        feeds |= {name: tensors[name] for name in self.joins}
        (cam,) = self._graph.run(feeds, [self.methods[method]]).values()
        return np.asarray(cam[0], np.float32)

    def _warm_up(self, network: Session) -> Mapping[str, str]:
        """Run once, and return the name of the output that answers each method."""
        shapes = {output.name: output.shape for output in network.outputs}
        feeds = {
            tensor.name: np.zeros(
                [side or 1 for side in shapes.get(tensor.name, tensor.shape)],
                np.int64 if tensor.dtype == "int64" else np.float32,
            )
            for tensor in self._graph.inputs
        }
        feature = [side or 1 for side in shapes[self._feature_map]]
        answers = self._graph.run({**feeds, "feature_map": np.zeros(feature, np.float32)})
        found = {name: tuple(answer.shape) for name, answer in answers.items()}
        if "cam" not in found or any(len(x) != 3 or x[0] != 1 for x in found.values()):
            raise ModelError(
                f"{self._graph.file} answers with {found}: export it with an output cam (1, rows, "
                "columns), and cam_plus_plus if wanted"
            )
        return {method: name for method, name in _OUTPUTS.items() if name in found}
