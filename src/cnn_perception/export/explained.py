"""Which answers of a bundle's network can be explained, and from which feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cnn_perception.errors import ExplainError
from cnn_perception.export.onnx_graph import OnnxGraph
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.outputs import DefaultBoxSpec

__all__ = ["Explained", "explained_answers"]


@dataclass(frozen=True, slots=True)
class Explained:
    """What one explain graph is made for.

    level: of the default boxes, 0 for other answers. feature_map and logits: tensors of the
    network. anchors: (first, count) of the level's default boxes, None without.
    """

    level: int
    feature_map: str
    logits: str
    anchors: tuple[int, int] | None = None


def explained_answers(
    graph: OnnxGraph, bundle: ModelBundle, layers: Sequence[str] = ()
) -> list[Explained]:
    """Return what of a bundle's network is explained.

    layers: names of feature maps in the file; none takes those of the bundle's explain graphs, or
    else the last ones: of a classifier before it averages them, of a mask the last coarsest ones,
    of each level of an SSD those that classes and offsets are both made of. Raises ExplainError for
    an output format that cannot be explained, a name that is no feature map, and where there are
    none.
    """
    output = bundle.output
    present = [spec.feature_map for spec in sorted(bundle.explain, key=lambda spec: spec.level)]
    layers = layers or present
    for layer in layers:
        graph.check_map(layer, graph.outputs)
    if output.default_boxes is not None:
        logits = output.tensors["class_logits"]
        return list(_levels(graph, output.default_boxes, logits, layers))
    if output.format == "class_logits":
        logits = output.tensors["class_logits"]
        default = _last_maps(graph, logits)
    elif output.format in ("mask_logits", "mask_index"):
        logits = _mask_logits(graph, output.tensors[output.format])
        default = _coarsest_maps(graph, logits)
    else:
        raise ExplainError(
            f"{bundle.file}: what a network of output.format {output.format!r} answers cannot be "
            "explained: give one with ssd_raw, class_logits, mask_logits or mask_index"
        )
    if len(layers) > 1:
        raise ExplainError(f"layers = {', '.join(layers)}: {bundle.name} is explained from one map")
    return [Explained(0, layers[0] if layers else default, logits)]


def _levels(
    graph: OnnxGraph, boxes: DefaultBoxSpec, logits: str, layers: Sequence[str]
) -> Iterator[Explained]:
    counts = boxes.boxes_per_level
    if layers and len(layers) != len(counts):
        raise ExplainError(
            f"layers = {', '.join(layers)}: give one for each of the {len(counts)} levels"
        )
    joined = graph.producers.get(logits)
    parts = list(joined.input) if joined is not None and joined.op_type == "Concat" else [logits]
    if [graph.shapes[part][1] for part in parts] != list(counts):
        raise ExplainError(
            f"{graph.file}: {logits!r} is not joined from the logits of {len(counts)} levels with "
            f"{', '.join(map(str, counts))} default boxes: export it so"
        )
    first = 0
    for level, (part, count) in enumerate(zip(parts, counts, strict=True)):
        feature_map = layers[level] if layers else graph.branch(part)
        yield Explained(level, feature_map, part, (first, count))
        first += count


def _last_maps(graph: OnnxGraph, logits: str) -> str:
    """Return the last feature maps of the size of some convolution's, which pooling is not."""
    sizes = {graph.shapes[x.output[0]][2:] for x in graph.nodes if x.op_type == "Conv"}
    found = [
        name
        for name in graph.maps([logits])
        if min(graph.shapes[name][2:]) > 1 and graph.shapes[name][2:] in sizes
    ]
    # What attends mixes all places: maps ahead of it say little of the answer.
    if not found or any(x.op_type == "Softmax" for x in graph.between(found[-1], logits)):
        raise ExplainError(
            f"{graph.file}: {logits!r} comes from no feature maps (1, K, h, w), or through "
            "attention: name a layer"
        )
    return found[-1]


def _mask_logits(graph: OnnxGraph, answer: str) -> str:
    """Return the logits (1, C, h, w) of a mask, before they are enlarged and the best is taken."""
    here = answer
    node = graph.producers.get(here)
    while node is not None and node.op_type in ("Cast", "ArgMax", "Squeeze", "Resize"):
        here = node.input[0]
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
