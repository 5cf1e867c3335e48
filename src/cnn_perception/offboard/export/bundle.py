"""A model bundle written from a network, all of it or nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnn_perception.errors import ExplainError, ModelError
from cnn_perception.image.preprocess import InputSpec, Preprocessor
from cnn_perception.offboard.export.card import PLAN_FILE, write_card
from cnn_perception.offboard.export.draft import replacing, write_yaml
from cnn_perception.offboard.export.explain import add_explain_graphs
from cnn_perception.offboard.export.onnx_file import (
    Compare,
    OnnxOptions,
    check_onnx,
    largest_difference,
    write_onnx,
)
from cnn_perception.runtime.bundle import file_digest, load_bundle
from cnn_perception.runtime.inference import Session
from cnn_perception.settings.files import read_yaml
from cnn_perception.types import UInt8Array

__all__ = [
    "TOLERANCE",
    "About",
    "describe",
    "prepared",
    "write_bundle",
    "write_quality",
]

_log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""The largest difference from PyTorch's logits with which a network is written."""


@dataclass(frozen=True, slots=True)
class About:
    """What a bundle says of its network's origin.

    description, licence, source, version: of model.yaml; limits: what it is not made for, one
    line, or empty. plan: the training plan's tree, kept beside the network, or None. palette: RGB
    of each label, or None.
    """

    description: str
    licence: str
    source: str
    version: str
    limits: str = ""
    plan: Mapping[str, Any] | None = None
    palette: Sequence[Sequence[int]] | None = None


def describe(
    about: About,
    task: str,
    spec: InputSpec,
    output: Mapping[str, Any],
    labels: Sequence[str],
    thresholds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return a model.yaml's tree, without the entries that only `write_bundle` can know."""
    tree: dict[str, Any] = {
        "version": about.version,
        "task": task,
        "description": about.description,
        "licence": about.licence,
        "source": about.source,
        "input": {k: _plain(v) for k, v in asdict(spec).items() if v is not None},
        "output": dict(output),
        "labels": list(labels),
    }
    if about.limits:
        tree["limits"] = about.limits
    if about.palette is not None:
        tree["palette"] = [[int(value) for value in color] for color in about.palette]
    if thresholds is not None:
        tree["thresholds"] = dict(thresholds)
    return tree


def prepared(spec: InputSpec, pictures: Sequence[UInt8Array]) -> list[Tensor]:
    """Return RGB pictures as the network's inputs, float32 (1, 3, H, W), as a robot prepares them.

    Raises ModelError without pictures.
    """
    if not pictures:
        raise ModelError("no images to check the export on: give some")
    preprocess = Preprocessor(spec)
    return [torch.from_numpy(preprocess(picture)[0].copy()) for picture in pictures]


def write_bundle(
    folder: Path,
    network: nn.Module,
    description: Mapping[str, Any],
    inputs: Sequence[Tensor],
    outputs: Sequence[str],
    *,
    plan: Mapping[str, Any] | None = None,
    explain: Sequence[str] | None = None,
    proof_only: Sequence[str] = (),
    options: OnnxOptions | None = None,
    tolerance: float = TOLERANCE,
    compare: Compare = largest_difference,
) -> float:
    """Write a network as a bundle; return how far ONNX Runtime is from PyTorch, at most.

    Everything is written into a folder beside `folder`, compared with PyTorch and loaded as a robot
    loads it. Only then it takes the place of what was there.

    network: in evaluation mode, takes normalised float32 (1, 3, H, W) and returns a tensor or
    (nested) tuples. description: model.yaml's tree without ``model``, ``name`` and ``explain``.
    inputs: normalised real images, of which there must be one. outputs: names of the network's
    outputs; those in `proof_only` are compared and then left out. compare: how far apart outputs
    are. plan: see `About`. explain: the feature maps of explain graphs, see `add_explain_graphs`;
    None for a bundle without, as is that of a network which cannot be explained.

    Raises ModelError where ONNX Runtime and PyTorch disagree, where the description does not fit
    the network, and for a folder that holds something else than a bundle.
    """
    if not inputs:
        raise ModelError("no images to check the export on: give some")
    options = options or OnnxOptions()
    folder = folder.resolve()
    name = str(description["input"]["name"])
    cases = [{name: value} for value in inputs]
    if options.dynamic_batch:
        cases.append({name: torch.cat([*inputs, inputs[0]])})
    with replacing(folder) as draft:
        model = draft / "model.onnx"
        write_onnx(network, cases[0], outputs, model, options)
        worst = check_onnx(network, model, cases, tolerance, compare)
        _drop_outputs(model, proof_only)
        tree = {
            "name": folder.name,
            **description,
            "model": {"file": model.name, "sha256": file_digest(model)},
        }
        write_yaml(draft / "model.yaml", tree)
        if plan is not None:
            write_yaml(draft / PLAN_FILE, plan)
        Session(load_bundle(draft))
        write_card(draft)
        if explain is not None:
            try:
                add_explain_graphs(draft, inputs, explain)
            except ExplainError as error:
                text = str(error).replace(str(draft), str(folder))
                _log.warning("%s gets no explain graphs: %s", folder.name, text)
    _log.info("%s differs from PyTorch by at most %.1g", folder, worst)
    return worst


def write_quality(folder: Path, quality: Mapping[str, Any]) -> None:
    """Record measured figures in a bundle's model.yaml and its model card."""
    path = folder / "model.yaml"
    write_yaml(path, {**read_yaml(path, ModelError), "quality": dict(quality)})
    load_bundle(folder)
    write_card(folder)


def _drop_outputs(path: Path, names: Sequence[str]) -> None:
    """Take outputs out of a file; what only they needed is not computed any more."""
    import onnx

    if not names:
        return
    model = onnx.load(path)
    for output in [output for output in model.graph.output if output.name in names]:
        model.graph.output.remove(output)
    onnx.save(model, path)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
