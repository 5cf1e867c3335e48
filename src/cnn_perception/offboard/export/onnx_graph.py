"""The graph of a network's file: its feature maps, and what comes of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import torch

from cnn_perception.errors import ExplainError, ModelError
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork
from cnn_perception.offboard.networks.onnx_node import Node

__all__ = ["OnnxGraph"]

_LISTED = 12

_MAKES_MAPS = {
    *("Conv", "ConvTranspose", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"),
    *("Resize", "BatchNormalization", "InstanceNormalization"),
}

_TURNS_MAPS = {
    *("Transpose", "Reshape", "Flatten", "MatMul", "Gemm", "Unsqueeze", "Squeeze", "Einsum"),
}
"""What comes of maps by these has its axes elsewhere."""


class OnnxGraph:
    """The nodes of an ONNX file that depend on its input, with what each tensor is.

    shape: of the input. network: the same in PyTorch, whose weights do not learn. Raises
    ExplainError for a file that `OnnxNetwork` cannot run.
    """

    def __init__(self, file: Path, shape: Sequence[int]) -> None:
        self.file = file
        try:
            self.network = OnnxNetwork(file).requires_grad_(False)
        except ModelError as error:
            raise ExplainError(str(error)) from error
        self.nodes: tuple[Node, ...] = self.network.nodes
        self.outputs = self.network.outputs
        self.producers = {name: node for node in self.nodes for name in node.outputs if name}
        with torch.no_grad():
            zeros = dict.fromkeys(self.network.inputs, torch.zeros(tuple(shape)))
            values = self.network.run(zeros, self.network.tensors)
        self.varying = frozenset(values)
        values.update(self.network.constants)
        self.shapes = {name: tuple(value.shape) for name, value in values.items()}
        self._maps = self._find_maps({n for n, x in values.items() if x.dtype == torch.float32})

    def between(self, source: str, target: str) -> list[Node]:
        """Return the nodes on a way from one tensor to another, in order; empty if there is none.

        The node that makes the source is not among them.
        """
        reached = self._reached_from([source])
        needed = {target}
        found = []
        for node in reversed(self.nodes):
            is_made_later = source not in node.outputs
            if is_made_later and needed & set(node.outputs) and reached & set(node.inputs):
                found.append(node)
                needed |= set(node.inputs) & reached
        return found[::-1]

    def joining(self, source: str, target: str) -> list[str]:
        """Return the tensors that join the way from one tensor to another and vary by image."""
        way = self.between(source, target)
        made = {source, *(name for node in way for name in node.outputs)}
        taken = dict.fromkeys(name for node in way for name in node.inputs)
        return [name for name in taken if name in self.varying and name not in made]

    def branch(self, name: str) -> str:
        """Return the nearest feature maps, from a tensor back, that more than one node takes.

        Every way from the image to the tensor leads through them. Raises ExplainError where there
        are none.
        """
        takers: Counter[str] = Counter()
        for node in self.nodes:
            takers.update(set(node.inputs))
        for maps in reversed(self.maps([name])):
            if (
                maps != name
                and takers[maps] > 1
                and name not in self._reached_from(self.network.inputs, maps)
            ):
                return maps
        raise ExplainError(f"{self.file}: no feature map stands behind {name!r}: name it")

    def maps(self, targets: Iterable[str]) -> list[str]:
        """Return the feature maps float32 (1, K, h, w) that some tensors come from, in order.

        They are what convolutions, pooling and resizing answer with, and what is made of that
        element by element; not, say, the queries of attention, which have four axes too.
        """
        needed = set(targets)
        for node in reversed(self.nodes):
            if needed & set(node.outputs):
                needed |= set(node.inputs)
        return [name for name in self._maps if name in needed]

    def check_map(self, name: str, targets: Iterable[str]) -> None:
        """Raise ExplainError unless a tensor is a feature map that some others come from."""
        known = self.maps(targets)
        if name in known:
            return
        near = get_close_matches(name, known, n=4, cutoff=0.6)
        listed = [*near, *(x for x in reversed(known) if x not in near)][:_LISTED]
        raise ExplainError(
            f"layer = {name!r} is no feature map of {self.file}: choose one, as "
            f"{', '.join(listed) or 'none is there'}"
        )

    def _find_maps(self, floats: set[str]) -> list[str]:
        """Return the feature maps of one image, in order."""
        maps: list[str] = []
        for node in self.nodes:
            name = node.outputs[0]
            shape = self.shapes[name]
            is_map = node.kind in _MAKES_MAPS or (
                node.kind not in _TURNS_MAPS and not set(maps).isdisjoint(node.inputs)
            )
            if is_map and len(shape) == 4 and shape[0] == 1 and name in floats:
                maps.append(name)
        return maps

    def _reached_from(self, names: Iterable[str], barred: str = "") -> set[str]:
        """Return the tensors that depend on some of the given ones, and these.

        barred: a tensor over which no way leads.
        """
        reached = set(names)
        for node in self.nodes:
            if not reached.isdisjoint(node.inputs):
                reached |= set(node.outputs) - {"", barred}
        return reached
