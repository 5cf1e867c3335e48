"""Does a network have the tensors that its model.yaml promises?"""

from __future__ import annotations

from collections.abc import Sequence

from cnn_perception.errors import ModelError
from cnn_perception.runtime.bundle import ExplainGraph, ModelBundle
from cnn_perception.runtime.graph import TensorInfo
from cnn_perception.settings import nearest

__all__ = ["check_explain_graph", "check_inputs", "check_outputs"]

Shape = tuple[int | str, ...]
"""Expected sizes; a letter stands for any size, the same wherever it appears again."""

_ASKED = {"detection": ("anchor",), "classification": (), "segmentation": ("region",)}
"""What an explain graph takes besides a feature map and a class, by task."""


def check_inputs(bundle: ModelBundle, inputs: Sequence[TensorInfo]) -> None:
    """Raise ModelError unless the one input is float32 (1, 3, height, width) as described.

    The batch may be dynamic: a robot gives one image.
    """
    spec = bundle.input
    names = [tensor.name for tensor in inputs]
    if names != [spec.name]:
        raise ModelError(
            f"{bundle.file}: input.name = {spec.name!r} but {bundle.model.name} has the inputs "
            f"{', '.join(names) or 'none'}: name its only input"
        )
    expected: Shape = (1, 3, spec.height, spec.width)
    _compare(bundle, inputs[0], expected, ("float32",), "input.width and input.height", {})


def check_outputs(bundle: ModelBundle, outputs: Sequence[TensorInfo]) -> None:
    """Raise ModelError unless every tensor named in model.yaml is there with the right shape.

    `outputs` are those declared by the graph, or those of a run, whose sizes are all known.
    """
    _check_background(bundle)
    sizes: dict[str, int] = {}
    for role, (shape, dtypes) in _expected_outputs(bundle).items():
        tensor = _find(bundle, outputs, f"output.tensors.{role}", bundle.output.tensors[role])
        about = f"output.{bundle.output.format} with {len(bundle.labels)} labels"
        _compare(bundle, tensor, shape, dtypes, about, sizes)
    for graph in bundle.explain:
        _find(bundle, outputs, "explain.feature_map", graph.feature_map)


def check_explain_graph(
    bundle: ModelBundle,
    spec: ExplainGraph,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
) -> None:
    """Raise ModelError unless an explain graph takes what the network and a question can give.

    inputs: the graph's; outputs: the network's, of a run. The graph takes a feature map, a class
    and, by task, a default box or a region; of masks also further outputs of the network.
    """
    file = spec.file.name
    by_name = {tensor.name: tensor for tensor in inputs}
    wanted = ["feature_map", *_ASKED[bundle.task], "class_index"]
    further = {tensor.name: tensor for tensor in outputs}
    if set(wanted) - set(by_name) or set(by_name) - set(wanted) - set(further):
        raise ModelError(
            f"{bundle.file}: {file} has the inputs {', '.join(by_name) or 'none'}: "
            f"export it with {', '.join(wanted)}"
        )
    (feature_map,) = (tensor for tensor in outputs if tensor.name == spec.feature_map)
    expected = {"feature_map": feature_map}
    expected |= {name: further[name] for name in by_name if name in further}
    for name, tensor in expected.items():
        about = f"tensor {tensor.name!r} of the network"
        shape = tuple(side or f"d{axis}" for axis, side in enumerate(tensor.shape))
        _compare(bundle, by_name[name], shape, ("float32",), about, {}, file)
    for name in ("class_index", "anchor"):
        if name in by_name:
            _compare(bundle, by_name[name], (1,), ("int64",), "one index", {}, file)
    if "region" in by_name:
        _compare(bundle, by_name["region"], (1, "h", "w"), ("float32",), "a region", {}, file)


def _expected_outputs(bundle: ModelBundle) -> dict[str, tuple[Shape, tuple[str, ...]]]:
    """Return the (shape, element types) of every role of the bundle's output format."""
    output, count = bundle.output, len(bundle.labels)
    floats = ("float32",)
    if output.default_boxes is not None:
        boxes = output.default_boxes.count
        return {
            "class_logits": ((1, boxes, count + 1), floats),
            "box_deltas": ((1, boxes, 4), floats),
        }
    columns = count if output.background is None else count + 1
    known: dict[str, dict[str, tuple[Shape, tuple[str, ...]]]] = {
        "boxes_scores": {
            "scores": ((1, "N", columns), floats),
            "boxes": ((1, "N", 4), floats),
        },
        "fastestdet": {"cells": ((1, count + 5, "h", "w"), floats)},
        "yolo_v5": {"predictions": ((1, "N", count + 5), floats)},
        "yolo_v8": {"predictions": ((1, count + 4, "N"), floats)},
        "torchvision": {
            "boxes": (("N", 4), floats),
            "labels": (("N",), ("int64",)),
            "scores": (("N",), floats),
        },
        "detr": {
            "logits": ((1, "Q", count + 1), floats),
            "boxes": ((1, "Q", 4), floats),
        },
        "mask_logits": {"mask_logits": ((1, count, "h", "w"), floats)},
        "mask_index": {"mask_index": ((1, "h", "w"), ("uint8", "uint16", "int32", "int64"))},
        "class_logits": {"class_logits": ((1, count), floats)},
    }
    return known[output.format]


def _check_background(bundle: ModelBundle) -> None:
    """Raise ModelError for a background beyond the classes: it would be no class at all."""
    background, count = bundle.output.background, len(bundle.labels)
    if background is not None and background > count:
        raise ModelError(
            f"{bundle.file}: output.background = {background} but {count} labels and a background "
            f"are numbered 0 to {count}: correct it, or complete labels"
        )


def _find(bundle: ModelBundle, tensors: Sequence[TensorInfo], key: str, name: str) -> TensorInfo:
    names = [tensor.name for tensor in tensors]
    if name not in names:
        hint = nearest(name, names, "its outputs are")
        raise ModelError(
            f"{bundle.file}: {key} = {name!r} is no output of {bundle.model.name}: {hint}"
        )
    return tensors[names.index(name)]


def _compare(
    bundle: ModelBundle,
    tensor: TensorInfo,
    expected: Shape,
    dtypes: tuple[str, ...],
    about: str,
    sizes: dict[str, int],
    owner: str | None = None,
) -> None:
    """Raise ModelError unless a tensor has the expected type and sizes; letters are remembered."""
    before = dict(sizes)
    fits = len(tensor.shape) == len(expected) and all(
        actual is None
        or actual == (sizes.setdefault(want, actual) if isinstance(want, str) else want)
        for actual, want in zip(tensor.shape, expected, strict=True)
    )
    if fits and tensor.dtype in dtypes:
        return
    shown = ", ".join("?" if side is None else str(side) for side in tensor.shape)
    wanted = ", ".join(
        str(before.get(side, side)) if isinstance(side, str) else str(side) for side in expected
    )
    raise ModelError(
        f"{bundle.file}: tensor {tensor.name!r} of {owner or bundle.model.name} is "
        f"{tensor.dtype} [{shown}] but {about} needs {dtypes[0]} [{wanted}]: correct "
        "model.yaml or export the network again"
    )
