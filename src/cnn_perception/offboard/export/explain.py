"""Explain graphs for a bundle: made from its network's file, and proven before they are kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TensorProto, helper
from torch import Tensor

from cnn_perception.errors import ModelError
from cnn_perception.explain.explainer import Explainer
from cnn_perception.offboard.export.card import write_card
from cnn_perception.offboard.export.class_logits import check_format
from cnn_perception.offboard.export.draft import replacing, write_yaml
from cnn_perception.offboard.export.explain_graph import (
    class_explanation,
    level_explanation,
    region_explanation,
)
from cnn_perception.offboard.export.explain_proof import prove
from cnn_perception.offboard.export.explained import Explained, explained_answers
from cnn_perception.offboard.export.onnx_graph import OnnxGraph
from cnn_perception.runtime.bundle import ModelBundle, file_digest, load_bundle
from cnn_perception.settings.files import read_yaml

__all__ = ["ExplainProof", "add_explain_graphs", "explain_bundle"]


@dataclass(frozen=True, slots=True)
class ExplainProof:
    """One explain graph: the level, the feature map that it reads, and how far it was off."""

    level: int
    feature_map: str
    difference: float


def explain_bundle(
    bundle: ModelBundle, folder: Path, inputs: Sequence[Tensor], layers: Sequence[str] = ()
) -> list[ExplainProof]:
    """Write a bundle with explain graphs into a folder, its own or another.

    Arguments, result and errors are those of `add_explain_graphs`; the folder is replaced whole, or
    stays as it is. Raises ModelError where the bundle's network lies outside its folder, too.
    """
    source = bundle.file.parent.resolve()
    if not bundle.model.resolve().is_relative_to(source):
        raise ModelError(
            f"{bundle.file}: model.file = {str(bundle.model)!r} lies elsewhere: put the network "
            "beside it"
        )
    with replacing(folder.resolve()) as draft:
        shutil.copytree(source, draft, dirs_exist_ok=True)
        (draft / bundle.file.name).rename(draft / "model.yaml")
        return add_explain_graphs(draft, inputs, layers)


def add_explain_graphs(
    folder: Path, inputs: Sequence[Tensor], layers: Sequence[str] = ()
) -> list[ExplainProof]:
    """Give a bundle explain graphs, in place of those that it has; say how far each is off.

    The network answers with the feature maps too. inputs: normalised images, float32 (1, 3, H, W),
    on which the graphs are held against PyTorch (see `prove`). layers: see `explained_answers`.
    Raises ModelError where they disagree; ExplainError, with nothing changed, for a bundle whose
    answers cannot be explained so.
    """
    if not inputs:
        raise ModelError("no images to check the explain graphs on: give some")
    bundle = load_bundle(folder)
    check_format(bundle)
    graph = OnnxGraph(bundle.model, (1, 3, bundle.input.height, bundle.input.width))
    answers = explained_answers(graph, bundle, layers)
    models = [_explain_graph(graph, explained) for explained in answers]
    shutil.rmtree(folder / "explain", ignore_errors=True)
    (folder / "explain").mkdir()
    files = [folder / "explain" / f"level_{explained.level}.onnx" for explained in answers]
    for model, file in zip(models, files, strict=True):
        onnx.save(model, file)
    _answer_with(bundle.model, graph, answers, models)
    entries, proofs = [], []
    for explained, file in zip(answers, files, strict=True):
        difference = prove(bundle.model, file, explained, inputs)
        proofs.append(ExplainProof(explained.level, explained.feature_map, difference))
        entries.append(_entry(folder, explained, file))
    tree = read_yaml(folder / "model.yaml", ModelError)
    tree["model"] = {**tree["model"], "sha256": file_digest(bundle.model)}
    quality = {"quality": tree.pop("quality")} if "quality" in tree else {}
    write_yaml(folder / "model.yaml", {**tree, "explain": entries, **quality})
    Explainer(load_bundle(folder))
    write_card(folder)
    return proofs


def _explain_graph(graph: OnnxGraph, explained: Explained) -> ModelProto:
    feature_map, logits = explained.feature_map, explained.logits
    if explained.boxes is not None:
        return level_explanation(graph, feature_map, explained.boxes)
    if len(graph.shapes[logits]) == 4:
        return region_explanation(graph, feature_map, logits)
    return class_explanation(graph, feature_map, logits)


def _answer_with(
    file: Path, graph: OnnxGraph, answers: Sequence[Explained], models: Sequence[ModelProto]
) -> None:
    """Let a network answer with what the explain graphs read, besides what it answers anyway."""
    needed = [explained.feature_map for explained in answers]
    for explain in models:
        taken = [tensor.name for tensor in explain.graph.input]
        needed += [name for name in taken if name in graph.producers]
    model = onnx.load(file)
    known = {output.name for output in model.graph.output}
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    batch = first.dim_param or 1
    for name in dict.fromkeys(needed):
        if name not in known:
            model.graph.output.append(
                helper.make_tensor_value_info(
                    name, TensorProto.FLOAT, [batch, *graph.shapes[name][1:]]
                )
            )
    onnx.save(model, file)


def _entry(folder: Path, explained: Explained, file: Path) -> dict[str, Any]:
    entry = {
        "level": explained.level,
        "graph": file.relative_to(folder).as_posix(),
        "sha256": file_digest(file),
        "feature_map": explained.feature_map,
    }
    if explained.anchors is not None:
        entry["anchors"] = list(explained.anchors)
    return entry
