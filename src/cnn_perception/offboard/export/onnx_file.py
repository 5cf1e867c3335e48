"""Networks written as ONNX files, and compared with what they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnn_perception.errors import ConfigError, ModelError

__all__ = ["OPSET", "Compare", "OnnxOptions", "check_onnx", "largest_difference", "write_onnx"]

OPSET = 20
"""Version of ONNX's operators that files are written in; ONNX Runtime reads it since 1.17."""

_OPSETS = (18, 23)
"""The oldest and the newest that PyTorch's exporter writes for the networks here."""


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """How a file is written. Raises ConfigError for an opset that cannot be.

    opset: version of ONNX's operators. dynamic_batch: the first axis of all inputs may have any
    size; otherwise it is 1, as robots use it.
    """

    opset: int = OPSET
    dynamic_batch: bool = False

    def __post_init__(self) -> None:
        oldest, newest = _OPSETS
        if not oldest <= self.opset <= newest:
            raise ConfigError(f"opset = {self.opset}: choose {oldest} to {newest}")


Compare = Callable[[Sequence[NDArray[Any]], Sequence[NDArray[Any]]], float]
"""Found and expected outputs -> how far apart they are; ModelError for what no number tells."""


def largest_difference(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> float:
    """Return the largest difference between floating point outputs.

    Integer answers (class ids) may differ where two classes are equal: in at most one of 1000.
    """
    worst = 0.0
    for have, want in zip(found, expected, strict=True):
        if np.issubdtype(want.dtype, np.integer):
            share = float((have != want).mean())
            if share > 1e-3:
                raise ModelError(f"answers other classes in {share:.2%} of the pixels")
            continue
        worst = max(worst, float(np.abs(have - want).max()))
    return worst


def write_onnx(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    options: OnnxOptions | None = None,
) -> None:
    """Write a network in evaluation mode to one file, for inputs of exactly these shapes.

    Batch normalisation after a convolution is folded into it. The exporter's notes on every node,
    among them the paths of the source files on this machine, are left out: equal weights give equal
    files wherever they are exported.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    options = options or OnnxOptions()
    path.parent.mkdir(parents=True, exist_ok=True)
    examples = tuple(inputs.values())
    shapes = None
    if options.dynamic_batch:
        # The exporter takes an axis of size 1 for one that is always 1.
        examples = tuple(torch.cat([value, value]) for value in examples)
        shapes = tuple({0: torch.export.Dim("batch")} for _ in examples)
    program = torch.onnx.export(
        network,
        examples,
        input_names=list(inputs),
        output_names=list(outputs),
        opset_version=options.opset,
        dynamic_shapes=shapes,
        dynamo=True,
        verbose=False,
        optimize=True,
    )
    ClearMetadataAndDocStringPass()(program.model)
    program.save(str(path), external_data=False)


def check_onnx(
    network: nn.Module,
    path: Path,
    cases: Sequence[Mapping[str, Tensor]],
    tolerance: float,
    compare: Compare = largest_difference,
) -> float:
    """Return the largest difference between ONNX Runtime's answers and the network's.

    Raises ModelError when it is above `tolerance`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for case in cases:
        found = session.run(None, {name: value.numpy() for name, value in case.items()})
        with torch.no_grad():
            expected = [tensor.numpy() for tensor in _flat(network(*case.values()))]
        try:
            difference = compare(found, expected)
        except ModelError as error:
            raise ModelError(f"{path} {error}") from error
        worst = max(worst, difference)
        if not difference <= tolerance:
            raise ModelError(
                f"{path} differs from PyTorch by {difference:.2g}, more than {tolerance:g}: "
                "do not ship it"
            )
    return worst


def _flat(answer: object) -> list[Tensor]:
    """Return the tensors of nested tuples, in order."""
    if isinstance(answer, Tensor):
        return [answer]
    assert isinstance(answer, tuple)
    return [tensor for part in answer for tensor in _flat(part)]
