"""A bundle's network in ONNX Runtime, checked against its model.yaml and warmed up."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import SessionConfig
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.conformance import check_inputs, check_outputs
from cnn_perception.runtime.graph import Graph, TensorInfo

__all__ = ["Session"]

_log = logging.getLogger(__name__)


class Session:
    """Runs a bundle's network.

    Construction loads it, compares its tensors with model.yaml and runs it once, so that the first
    frame is as fast as the others. Raises ModelError when something does not fit.
    """

    def __init__(self, bundle: ModelBundle, config: SessionConfig | None = None) -> None:
        self.bundle = bundle
        self._graph = Graph(bundle.model, config or SessionConfig())
        check_inputs(bundle, self._graph.inputs)
        check_outputs(bundle, self._graph.outputs)
        self.outputs = self.warm_up()
        check_outputs(bundle, self.outputs)
        _log.info("model %s %s runs on %s", bundle.name, bundle.version, self.provider)

    @property
    def provider(self) -> str:
        """The execution provider that really runs the network, by ONNX Runtime's name."""
        return self._graph.provider

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the network's output tensors by name: all of them, or those asked for.

        feeds: the input tensor by name, float32 (1, 3, height, width), or several images where the
        network's batch is dynamic. Raises ModelError.
        """
        return self._graph.run(feeds, outputs)

    def warm_up(self) -> tuple[TensorInfo, ...]:
        """Run the network once on zeros; returns its outputs with their actual shapes."""
        spec = self.bundle.input
        zeros = np.zeros((1, 3, spec.height, spec.width), np.float32)
        answers = self.run({spec.name: zeros})
        return tuple(
            TensorInfo(name, str(value.dtype), value.shape) for name, value in answers.items()
        )
