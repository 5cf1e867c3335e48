"""Does a network have the tensors that its model.yaml promises?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnn_perception.errors import ModelError
from cnn_perception.formats.format import Shape
from cnn_perception.runtime.bundle import ExplainGraph, ModelBundle
from cnn_perception.settings import nearest

__all__ = ["TensorInfo", "check_explain_graph", "check_inputs", "check_outputs"]

_FLOATS = ("float32",)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, element type (as ``float32``) and shape of a tensor; None is a size that may vary."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


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
    expected = (1, 3, spec.height, spec.width)
    _compare(bundle, inputs[0], expected, _FLOATS, "input.width and input.height", {})


def check_outputs(bundle: ModelBundle, outputs: Sequence[TensorInfo]) -> None:
    """Raise ModelError unless every tensor named in model.yaml is there with the right shape.

    `outputs` are those declared by the graph, or those of a run, whose sizes are all known.
    """
    output = bundle.output
    output.check(bundle)
    known, sizes = output.sizes(len(bundle.labels)), dict[str, int]()
    for role, letters in output.shapes.items():
        tensor = _find(bundle, outputs, f"output.tensors.{role}", output.tensors[role])
        about = f"output.{output.name} with {len(bundle.labels)} labels"
        shape = tuple(known.get(side, side) if isinstance(side, str) else side for side in letters)
        _compare(bundle, tensor, shape, output.dtypes.get(role, _FLOATS), about, sizes)
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
    wanted = ["feature_map", *bundle.output.asked, "class_index"]
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
        _compare(bundle, by_name[name], shape, _FLOATS, about, {}, file)
    for name in ("class_index", "anchor"):
        if name in by_name:
            _compare(bundle, by_name[name], (1,), ("int64",), "one index", {}, file)
    if "region" in by_name:
        _compare(bundle, by_name["region"], (1, "h", "w"), _FLOATS, "a region", {}, file)


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
