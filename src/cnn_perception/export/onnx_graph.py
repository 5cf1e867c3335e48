"""An ONNX graph to be read and cut, and one to be written node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cnn_perception.errors import ExplainError, ModelError

__all__ = ["IR_VERSION", "OLDEST_OPSET", "GraphWriter", "OnnxGraph", "attributes"]

OLDEST_OPSET = 18
"""Older files are converted: since then reductions take their axes as an input."""

IR_VERSION = 9
"""What ONNX Runtime reads since 1.17."""

_LISTED = 12

_MAKES_MAPS = {
    *("Conv", "ConvTranspose", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"),
    *("Resize", "BatchNormalization", "InstanceNormalization"),
}

_TURNS_MAPS = {
    "Transpose",
    "Reshape",
    "Flatten",
    "MatMul",
    "Gemm",
    "Unsqueeze",
    "Squeeze",
    "Einsum",
}
"""What comes of maps by these has its axes elsewhere."""


class OnnxGraph:
    """The nodes of an ONNX file, with what each tensor is.

    shape: of the input, where the file leaves sizes open; those that nobody tells are 1. Subgraphs
    (If, Loop) are not looked into. Raises ModelError for a file that ONNX cannot convert to opset
    18, where it is older.
    """

    def __init__(self, file: Path, shape: Sequence[int] = ()) -> None:
        self.file = file
        self.model: ModelProto = onnx.load(file)
        self.opset = _opset(self.model)
        if self.opset < OLDEST_OPSET:
            self.model = _converted(self.model, file)
            self.opset = OLDEST_OPSET
        graph = self.model.graph
        self.nodes: tuple[NodeProto, ...] = tuple(graph.node)
        self.outputs = tuple(output.name for output in graph.output)
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = tuple(x.name for x in graph.input if x.name not in self._weights)
        self.producers = {name: node for node in self.nodes for name in node.output if name}
        self.varying = self._reached_from(self.inputs)
        self.shapes, self.dtypes = self._describe(shape)
        self._maps = self._find_maps()

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of a tensor that is a weight or a constant node, None of another."""
        if name in self._weights:
            return np.asarray(numpy_helper.to_array(self._weights[name]))
        node = self.producers.get(name)
        if node is not None and node.op_type == "Constant":
            return np.asarray(_constant_value(node))
        return None

    def between(self, source: str, target: str) -> list[NodeProto]:
        """Return the nodes on a way from one tensor to another, in order; empty if there is none.

        The node that makes the source is not among them.
        """
        reached = self._reached_from([source])
        needed = {target}
        found = []
        for node in reversed(self.nodes):
            is_made_later = source not in node.output
            if is_made_later and needed & set(node.output) and reached & set(node.input):
                found.append(node)
                needed |= set(node.input) & reached
        return found[::-1]

    def branch(self, name: str) -> str:
        """Return the nearest feature maps, from a tensor back, that more than one node takes.

        Every way from the image to the tensor leads through them. Raises ExplainError where there
        are none.
        """
        takers: Counter[str] = Counter()
        for node in self.nodes:
            takers.update(set(node.input))
        for maps in reversed(self.maps([name])):
            if (
                maps != name
                and takers[maps] > 1
                and name not in self._reached_from(self.inputs, maps)
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
            if needed & set(node.output):
                needed |= set(node.input)
        return [
            name
            for node in self.nodes
            for name in node.output
            if name in needed and name in self._maps
        ]

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

    def _find_maps(self) -> set[str]:
        """Return the feature maps of one image."""
        maps: set[str] = set()
        for node in self.nodes:
            name = node.output[0]
            shape = self.shapes[name]
            is_map = node.op_type in _MAKES_MAPS or (
                node.op_type not in _TURNS_MAPS and not maps.isdisjoint(node.input)
            )
            fits = len(shape) == 4 and shape[0] == 1 and self.dtypes[name] == np.float32
            if is_map and fits and name in self.varying:
                maps.add(name)
        return maps

    def _reached_from(self, names: Iterable[str], barred: str = "") -> set[str]:
        """Return the tensors that depend on some of the given ones, and these.

        barred: a tensor over which no way leads.
        """
        reached = set(names)
        for node in self.nodes:
            if not reached.isdisjoint(node.input):
                reached |= set(node.output) - {"", barred}
        return reached

    def _describe(
        self, shape: Sequence[int]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, np.dtype[Any]]]:
        """Return shape and type of every tensor, of one image, by a run on zeros."""
        probe = ModelProto()
        probe.CopyFrom(self.model)
        names = [name for node in self.nodes for name in node.output if name]
        del probe.graph.output[:]
        probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feeds = {
            tensor.name: np.zeros(
                shape or [side if isinstance(side, int) else 1 for side in tensor.shape],
                np.float32,
            )
            for tensor in session.get_inputs()
        }
        values = {**feeds, **dict(zip(names, session.run(names, feeds), strict=True))}
        weights = {name: numpy_helper.to_array(tensor) for name, tensor in self._weights.items()}
        arrays = {name: np.asarray(value) for name, value in {**weights, **values}.items()}
        return (
            {name: value.shape for name, value in arrays.items()},
            {name: value.dtype for name, value in arrays.items()},
        )


class GraphWriter:
    """Collects the nodes of a new graph that may go on from tensors of another one."""

    def __init__(self, origin: OnnxGraph) -> None:
        self.origin = origin
        self.nodes: list[NodeProto] = []
        self._weights: dict[str, NDArray[Any]] = {}
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], str] = {}
        self._inputs: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._renamed: dict[str, str] = {}

    def input(self, name: str, shape: Sequence[int], *, integer: bool = False) -> str:
        """Declare an input, float32 or int64."""
        kind = TensorProto.INT64 if integer else TensorProto.FLOAT
        self._inputs[name] = (kind, tuple(shape))
        return name

    def rename(self, name: str, new: str) -> None:
        """Let nodes that are copied take an input instead of a tensor of the origin."""
        self._renamed[name] = new

    def named(self, name: str) -> str:
        """Return what a tensor of the origin is called here."""
        return self._renamed.get(name, name)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        key = (array.tobytes(), str(array.dtype), array.shape)
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._weights[name] = array
        return self._constants[key]

    def zeros(self, shape: Sequence[int]) -> str:
        """Return the name of float32 zeros, which are not stored."""
        return self.add("ConstantOfShape", self.constant(shape, np.int64))

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output, and return the output's name."""
        return self.add_named(f"{kind.lower()}_{len(self.nodes)}_", kind, *inputs, **attributes)

    def add_named(self, output: str, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node whose output has a name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def add_many(
        self, kind: str, inputs: Sequence[str], count: int, **attributes: Any
    ) -> list[str]:
        """Add a node of several outputs, and return their names."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def copy(self, node: NodeProto) -> None:
        """Add a node of the origin."""
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = [self.named(name) for name in node.input]
        copied.doc_string = ""
        del copied.metadata_props[:]
        self.nodes.append(copied)

    def model(self, outputs: Sequence[tuple[str, Sequence[int]]]) -> ModelProto:
        """Return the graph with these outputs, names and float32 shapes, and only what they need.

        What it takes of the origin and that varies from image to image becomes an input.
        """
        nodes = _needed(self.nodes, {name for name, _ in outputs})
        nodes = [*self._constant_nodes(nodes), *nodes]
        made = {name for node in nodes for name in node.output}
        taken = list(dict.fromkeys(x for node in nodes for x in node.input if x and x not in made))
        inputs, weights = dict(self._inputs), []
        for name in taken:
            if name in inputs:
                continue
            value = self._weights.get(name, self.origin.constant(name))
            if value is None:
                inputs[name] = (TensorProto.FLOAT, self.origin.shapes[name])
            else:
                weights.append(numpy_helper.from_array(value, name))
        graph = helper.make_graph(
            nodes,
            "explain",
            [helper.make_tensor_value_info(name, *known) for name, known in inputs.items()],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in outputs
            ],
            weights,
        )
        opset = helper.make_opsetid("", self.origin.opset)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="cnn_perception"
        )

    def _constant_nodes(self, nodes: Sequence[NodeProto]) -> list[NodeProto]:
        """Return what in the origin makes constants that nodes take, but for the weights."""
        origin = self.origin
        fixed = [
            node
            for node in origin.nodes
            if not origin.varying & set(node.output) and node.op_type != "Constant"
        ]
        return _needed(fixed, {name for node in nodes for name in node.input})


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name, texts as str."""
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def _needed(nodes: Sequence[NodeProto], wanted: set[str]) -> list[NodeProto]:
    """Return those nodes, in order, that the wanted tensors come from."""
    found = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            found.append(node)
            wanted = wanted | set(node.input)
    return found[::-1]


def _opset(model: ModelProto) -> int:
    return next(int(x.version) for x in model.opset_import if x.domain in ("", "ai.onnx"))


def _converted(model: ModelProto, file: Path) -> ModelProto:
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:  # the converter raises whatever its C++ part does
        text = " ".join(str(error).split())
        raise ModelError(
            f"{file} is written in opset {_opset(model)} and cannot be converted to {OLDEST_OPSET} "
            f"({text[:160]}): export it again with opset {OLDEST_OPSET} or newer"
        ) from error


def _constant_value(node: NodeProto) -> Any:
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return numpy_helper.to_array(value)
    kinds = {AttributeProto.FLOAT, AttributeProto.FLOATS}
    return np.array(value, np.float32 if attribute.type in kinds else np.int64)
