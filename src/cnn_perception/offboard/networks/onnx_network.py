"""Any ONNX network as a PyTorch one: layers with names, hooks and gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import onnx
import torch
from onnx import GraphProto, ModelProto
from onnx.inliner import inline_local_functions
from torch import Tensor, nn

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.offboard.networks.onnx_layers import check_operator, layer_of
from cnn_perception.offboard.networks.onnx_node import Node, read_node, read_tensor
from cnn_perception.offboard.networks.onnx_operators import OPERATORS

__all__ = ["OnnxNetwork"]

_OLDEST_OPSET = 7
"""The first in which shapes are broadcast without an attribute that says so."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One layer's turn: its node, and which tensors it is called with."""

    layer: str
    node: Node
    inputs: tuple[str, ...]


class OnnxNetwork(nn.Module):
    """The network of an ONNX file, in evaluation mode, every node a layer of its own.

    A layer is named after the tensor that it answers with, dots replaced by underscores.
    Convolutions and products with stored weights are ``nn.Conv2d`` and ``nn.Linear``, so that what
    looks for such layers finds them; ReLU and ReLU6 are PyTorch's, however the file writes them.
    What depends on no input is computed once, when the file is opened.

    source: the file, or its content. outputs: names of the tensors that `forward` answers with, of
    any within the graph; the graph's own by default. forward: the graph's inputs in order -> one
    tensor, or a tuple of several.

    Raises ModelError, one line, for a file that is none and for operators that are not known.
    """

    def __init__(self, source: Path | ModelProto, outputs: Sequence[str] = ()) -> None:
        super().__init__()
        model = _load(source) if isinstance(source, Path) else source
        name = source if isinstance(source, Path) else "the model"
        if model.functions:
            model = inline_local_functions(model)
        self.inputs: tuple[str, ...] = ()
        self._steps: list[_Step] = []
        self._constants: dict[str, str] = {}
        try:
            self._build(model.graph, _opset(model))
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from error
        self.outputs = tuple(outputs) or tuple(item.name for item in model.graph.output)
        self._check(self.outputs)
        self.eval()

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of all tensors that depend on an input, in the order of the graph."""
        return (*self.inputs, *(name for step in self._steps for name in step.node.outputs if name))

    @property
    def constants(self) -> dict[str, Tensor]:
        """What depends on no input and is read by a layer, by name."""
        return {name: getattr(self, own) for name, own in self._constants.items()}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that depend on an input, in the order of the graph."""
        return tuple(step.node for step in self._steps)

    def layer(self, tensor: str) -> str:
        """Return the name of the layer that answers with a tensor; ConfigError where none does."""
        return self._step(tensor).layer

    def node(self, tensor: str) -> Node:
        """Return the node that answers with a tensor; ConfigError where none does."""
        return self._step(tensor).node

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the outputs for the graph's inputs, in order."""
        found = self.run(dict(zip(self.inputs, inputs, strict=True)), self.outputs)
        answers = tuple(found[name] for name in self.outputs)
        return answers[0] if len(answers) == 1 else answers

    def run(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """Return tensors of the graph by name, for others that are given by name.

        feeds: inputs, or tensors within the graph, which are then taken instead of what would be
        computed. Only what lies between them and the outputs runs, and gradients flow through it.
        Raises ConfigError for names that are none, and for an input that is needed but not fed.
        """
        self._check([*feeds, *outputs])
        values = {**self.constants, **feeds}
        for step, done in self._plan(feeds, outputs):
            answer = getattr(self, step.layer)(*(values[x] if x else None for x in step.inputs))
            answers = answer if isinstance(answer, tuple) else (answer,)
            for name, value in zip(step.node.outputs, answers, strict=False):
                values.setdefault(name, value)  # what is fed stays
            for name in done:
                del values[name]
        return {name: values[name] for name in outputs}

    def _step(self, tensor: str) -> _Step:
        for step in self._steps:
            if tensor in step.node.outputs:
                return step
        raise ConfigError(self._unknown(tensor))

    def _plan(
        self, feeds: Mapping[str, Tensor], outputs: Sequence[str]
    ) -> list[tuple[_Step, set[str]]]:
        """Return the steps between feeds and outputs, each with what is read for the last time."""
        given = {*feeds, *self._constants, ""}
        needed = set(outputs) - given
        read = {*outputs, *self._constants, ""}
        plan = []
        for step in reversed(self._steps):
            if not needed.isdisjoint(step.node.outputs):
                needed = (needed - set(step.node.outputs)) | (set(step.inputs) - given)
                plan.append((step, set(step.inputs) - read))
                read.update(step.inputs)
        if needed:
            raise ConfigError(
                f"{', '.join(sorted(needed))} is needed for {', '.join(outputs)}: feed it"
            )
        return plan[::-1]

    def _build(self, graph: GraphProto, opset: int) -> None:
        """Make layers of nodes, and constants of what depends on no input."""
        constants = {item.name: read_tensor(item) for item in graph.initializer}
        # Files before IR version 4 list their weights among the inputs too.
        self.inputs = tuple(item.name for item in graph.input if item.name not in constants)
        for item in graph.node:
            node = read_node(item, opset)
            if all(name in constants for name in node.inputs if name):
                constants.update(zip(node.outputs, _computed(node, constants), strict=False))
                continue
            layer, inputs = layer_of(node, constants)
            name = self._own_name(next(filter(None, node.outputs)))
            self.add_module(name, layer)
            self._steps.append(_Step(name, node, inputs))
        read = {name for step in self._steps for name in step.inputs}
        read.update(item.name for item in graph.output)
        for name, tensor in constants.items():
            if name in read:
                self._constants[name] = self._own_name(name)
                self.register_buffer(self._constants[name], tensor)

    def _own_name(self, tensor: str) -> str:
        """Return a name for what belongs to a tensor, one that no attribute of this object has."""
        name = tensor.replace(".", "_")
        while hasattr(self, name):
            name += "_"
        return name

    def _check(self, names: Iterable[str]) -> None:
        known = {*self.tensors, *self._constants}
        for name in names:
            if name not in known:
                raise ConfigError(self._unknown(name))

    def _unknown(self, tensor: str) -> str:
        near = get_close_matches(tensor, self.tensors, 8, 0.6) or self.tensors[-8:]
        return (
            f"tensor = {tensor!r} is not computed by the network: choose one, as {', '.join(near)}"
        )


def _load(file: Path) -> ModelProto:
    try:
        return onnx.load(file)
    except Exception as error:  # the file system's, onnx's, or protobuf's, which is onnx's business
        raise ModelError(f"{file} cannot be read as ONNX: {error}") from error


def _opset(model: ModelProto) -> int:
    """Return the version of the operators; raises ModelError where it is too old."""
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if opset < _OLDEST_OPSET:
        raise ModelError(
            f"opset {opset} is too old: convert it to {_OLDEST_OPSET} or newer, as with "
            "onnx.version_converter"
        )
    return opset


@torch.no_grad()
def _computed(node: Node, constants: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Return what a node answers that depends on no input."""
    if node.kind == "Constant":
        (value,) = node.attributes.values()
        return (value if isinstance(value, Tensor) else torch.tensor(value),)
    check_operator(node)
    answer = OPERATORS[node.kind](node, *(constants.get(name) for name in node.inputs))
    return answer if isinstance(answer, tuple) else (answer,)
