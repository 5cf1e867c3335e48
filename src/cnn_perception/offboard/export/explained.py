"""Which answers of a bundle's network can be explained, and from which feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cnn_perception.errors import ExplainError
from cnn_perception.offboard.export.class_logits import ClassLogits, class_logits, logits_of_levels
from cnn_perception.offboard.export.onnx_graph import OnnxGraph
from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["Explained", "explained_answers"]


@dataclass(frozen=True, slots=True)
class Explained:
    """What one explain graph is made for.

    level: of a detector's boxes, 0 for other answers. feature_map and logits: tensors of the
    network. boxes: where in the logits those of the level's boxes are, and anchors: (first, count)
    of these boxes; None for other answers.
    """

    level: int
    feature_map: str
    logits: str
    anchors: tuple[int, int] | None = None
    boxes: ClassLogits | None = None


def explained_answers(
    graph: OnnxGraph, bundle: ModelBundle, layers: Sequence[str] = ()
) -> list[Explained]:
    """Return what of a bundle's network is explained.

    layers: names of feature maps in the file; none takes those of the bundle's explain graphs, or
    else the last ones: of a classifier before it averages them, of a mask the last coarsest ones,
    of each level of a detector those that its classes and boxes are both made of. Raises
    ExplainError for an output format that cannot be explained, a name that is no feature map, and
    where there are none.
    """
    output = bundle.output
    present = [spec.feature_map for spec in sorted(bundle.explain, key=lambda spec: spec.level)]
    layers = layers or present
    for layer in layers:
        graph.check_map(layer, graph.outputs)
    if bundle.task == "detection":
        return list(_levels(graph, bundle, layers))
    if bundle.task == "classification":
        logits = output.tensors["class_logits"]
        default = _last_maps(graph, logits)
    else:
        logits = _mask_logits(graph, *output.tensors.values())
        default = _coarsest_maps(graph, logits)
    if len(layers) > 1:
        raise ExplainError(f"layers = {', '.join(layers)}: {bundle.name} is explained from one map")
    return [Explained(0, layers[0] if layers else default, logits)]


def _levels(graph: OnnxGraph, bundle: ModelBundle, layers: Sequence[str]) -> Iterator[Explained]:
    """Yield what is explained of each level of a detector, in the order of its boxes."""
    parts = logits_of_levels(graph, class_logits(graph, bundle))
    counts = [part.count(graph) for part in parts]
    boxes = bundle.output.boxes_per_level
    if boxes is not None and counts != list(boxes):
        raise ExplainError(
            f"{graph.file}: the class logits are not joined from those of levels with "
            f"{', '.join(map(str, boxes))} default boxes: export it so"
        )
    if layers and len(layers) != len(parts):
        raise ExplainError(
            f"layers = {', '.join(layers)}: give one for each of the {len(parts)} levels"
        )
    first = 0
    for level, (part, count) in enumerate(zip(parts, counts, strict=True)):
        feature_map = layers[level] if layers else graph.branch(part.tensor)
        yield Explained(level, feature_map, part.tensor, (first, count), part)
        first += count


def _last_maps(graph: OnnxGraph, logits: str) -> str:
    """Return the last feature maps of the size of some convolution's, which pooling is not."""
    sizes = {graph.shapes[x.outputs[0]][2:] for x in graph.nodes if x.kind == "Conv"}
    found = [
        name
        for name in graph.maps([logits])
        if min(graph.shapes[name][2:]) > 1 and graph.shapes[name][2:] in sizes
    ]
    # What attends mixes all places: maps ahead of it say little of the answer.
    if not found or any(x.kind == "Softmax" for x in graph.between(found[-1], logits)):
        raise ExplainError(
            f"{graph.file}: {logits!r} comes from no feature maps (1, K, h, w), or through "
            "attention: name a layer"
        )
    return found[-1]


def _mask_logits(graph: OnnxGraph, answer: str) -> str:
    """Return the logits (1, C, h, w) of a mask, before they are enlarged and the best is taken."""
    here = answer
    node = graph.producers.get(here)
    while node is not None and node.kind in ("Cast", "ArgMax", "Squeeze", "Resize"):
        here = node.inputs[0]
        node = graph.producers.get(here)
    if len(graph.shapes[here]) != 4:
        raise ExplainError(f"{graph.file}: {answer!r} is not the best of logits (1, C, h, w)")
    return here


def _coarsest_maps(graph: OnnxGraph, logits: str) -> str:
    """Return the last of the smallest feature maps before the logits."""
    sizes = {
        name: graph.shapes[name][2] * graph.shapes[name][3]
        for name in graph.maps([logits])
        if name != logits and min(graph.shapes[name][2:]) > 1
    }
    if not sizes:
        raise ExplainError(f"{graph.file}: {logits!r} comes from no feature maps (1, K, h, w)")
    smallest = min(sizes.values())
    return [name for name, size in sizes.items() if size == smallest][-1]
