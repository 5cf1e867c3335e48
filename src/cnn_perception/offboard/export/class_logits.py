"""Where in a detector's file the logits of its classes lie."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ExplainError
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.formats.format import DetectionFormat
from cnn_perception.offboard.export.onnx_graph import OnnxGraph
from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["ClassLogits", "check_format", "class_logits", "logits_of_levels"]


@dataclass(frozen=True, slots=True)
class ClassLogits:
    """Logits of every class for every box, within a tensor.

    anchor_axes: along which boxes are numbered, one after the other; class_axis: along which the
    classes are, of which the first has the index `first_class` there.
    """

    tensor: str
    anchor_axes: tuple[int, ...]
    class_axis: int
    first_class: int = 0

    def count(self, graph: OnnxGraph) -> int:
        """Return how many boxes there are."""
        return math.prod(graph.shapes[self.tensor][axis] for axis in self.anchor_axes)

    def strides(self, graph: OnnxGraph) -> tuple[int, int, int]:
        """Return (b, c, first): box i's class k is element i b + k c + first of the tensor."""
        shape = graph.shapes[self.tensor]
        per_class = math.prod(shape[self.class_axis + 1 :])
        per_box = math.prod(shape[self.anchor_axes[-1] + 1 :])
        return per_box, per_class, self.first_class * per_class

    def table(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a view of the tensor's values: an axis for each anchor axis, then the classes."""
        axes = [axis - 1 for axis in (*self.anchor_axes, self.class_axis)]
        return values[0].transpose(axes)[..., self.first_class :]


def check_format(bundle: ModelBundle) -> None:
    """Raise ExplainError for a detector whose answers are final."""
    output = bundle.output
    if isinstance(output, DetectionFormat) and output.class_axes is None:
        known = ", ".join(
            form.name
            for form in OUTPUT_FORMATS.values()
            if issubclass(form, DetectionFormat) and form.is_explained
        )
        raise ExplainError(
            f"{bundle.file}: output.format {output.name!r} cannot be explained: give one with "
            f"{known}"
        )


def class_logits(graph: OnnxGraph, bundle: ModelBundle) -> ClassLogits:
    """Return what a detector's class scores are made of, before sigmoid or softmax.

    Where nothing of that kind is found, the scores themselves. See `check_format`.
    """
    output = bundle.output
    assert isinstance(output, DetectionFormat) and output.class_axes is not None
    axes = output.class_axes
    here = ClassLogits(output.tensors[axes.role], axes.boxes, axes.classes, axes.first)
    while (before := _before(graph, here)) is not None:
        here = before
    return here


def logits_of_levels(graph: OnnxGraph, logits: ClassLogits) -> list[ClassLogits]:
    """Return the parts that logits are joined from along their boxes, or the logits alone."""
    node = graph.producers.get(logits.tensor)
    if node is None or node.kind != "Concat" or len(logits.anchor_axes) != 1:
        return [logits]
    if node.get("axis") % len(graph.shapes[logits.tensor]) != logits.anchor_axes[0]:
        return [logits]
    return [replace(logits, tensor=part) for part in node.inputs]


def _before(graph: OnnxGraph, logits: ClassLogits) -> ClassLogits | None:
    """Return logits one node before, None where that is not the same thing."""
    node = graph.producers.get(logits.tensor)
    if node is None:
        return None
    rank = len(graph.shapes[logits.tensor])
    source = replace(logits, tensor=node.inputs[0])
    axis = node.get("axis", 0 if node.kind == "Split" else -1) % rank
    if node.kind in ("Sigmoid", "Identity"):
        return source
    if node.kind in ("Softmax", "LogSoftmax") and axis == logits.class_axis:
        return source
    if node.kind == "Transpose":
        order = node.get("perm", range(rank)[::-1])
        anchor_axes = tuple(int(order[axis]) for axis in logits.anchor_axes)
        rising = all(b == a + 1 for a, b in itertools.pairwise(anchor_axes))
        if not rising:  # their numbers would no longer be those of the elements
            return None
        return replace(source, anchor_axes=anchor_axes, class_axis=int(order[logits.class_axis]))
    if node.kind == "Concat" and axis == logits.class_axis:
        first = 0
        for part in node.inputs:
            size = graph.shapes[part][axis]
            if first <= logits.first_class < first + size:
                return replace(logits, tensor=part, first_class=logits.first_class - first)
            first += size
    if node.kind == "Split" and axis == logits.class_axis:
        ahead = node.outputs[: node.outputs.index(logits.tensor)]
        skipped = sum(graph.shapes[part][axis] for part in ahead)
        return replace(source, first_class=logits.first_class + skipped)
    return None
