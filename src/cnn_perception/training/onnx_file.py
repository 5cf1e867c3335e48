"""Networks written as ONNX files, and compared with what they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.errors import ModelError

__all__ = ["check_onnx", "write_onnx"]


def write_onnx(
    network: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path
) -> None:
    """Write a network in evaluation mode to one file, for inputs of exactly these shapes.

    The exporter's notes on every node, among them the paths of the source files on this machine,
    are left out: equal weights give equal files wherever they are exported.
    """
    import onnx

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network,
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamo=True,
        external_data=False,
        verbose=False,
        optimize=True,
    )
    model = onnx.load(path)
    _strip(model)
    onnx.save(model, path)


def _strip(model: Any) -> None:
    """Delete documentation and metadata from a model, its graph, nodes and values."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]


def check_onnx(
    network: nn.Module,
    path: Path,
    cases: Sequence[Mapping[str, Tensor]],
    tolerance: float,
) -> float:
    """Return the largest difference between ONNX Runtime's answers and the network's.

    Raises ModelError when it is above `tolerance` for floating point answers. Integer answers
    (class ids) may differ where two classes are equal: in at most one of 1000.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for case in cases:
        actual = session.run(None, {name: value.numpy() for name, value in case.items()})
        with torch.no_grad():
            answer = network(*case.values())
        for found, wanted in zip(actual, _flat(answer), strict=True):
            expected = wanted.numpy()
            if np.issubdtype(expected.dtype, np.integer):
                share = float((found != expected).mean())
                if share > 1e-3:
                    raise ModelError(f"{path} answers other classes in {share:.2%} of the pixels")
                continue
            difference = float(np.abs(found - expected).max())
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
