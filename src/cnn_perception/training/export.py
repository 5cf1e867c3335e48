"""The shipped bundles, written from a trained network and checked against it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.detection.decode import SSD_VARIANCES
from cnn_perception.errors import ModelError
from cnn_perception.metrics.bundles import measure_bundle
from cnn_perception.networks.fcn import Fcn
from cnn_perception.networks.fold import folded
from cnn_perception.networks.rooms import RoomsNetwork
from cnn_perception.networks.ssdlite import LevelHead, SsdLite
from cnn_perception.runtime.bundle import file_digest, load_bundle
from cnn_perception.simulation.labels import MASK_LABELS, MASK_PALETTE, OBJECT_CLASSES
from cnn_perception.training.config import TrainingPlan
from cnn_perception.training.level_explanation import LevelExplanation, reference_cam
from cnn_perception.training.normalise import MEAN, STD, normalise
from cnn_perception.training.onnx_file import check_onnx, write_onnx

__all__ = ["MaskIndex", "export_detector", "export_segmenter", "write_quality"]

_log = logging.getLogger(__name__)

_TOLERANCE = 1e-3
_EXPLAIN_TOLERANCE = 1e-4
_SOURCE = "cnn-perception train config/training/rooms.yaml"
_VERSION = "0.1.0"


class MaskIndex(nn.Module):
    """A segmenter that answers with labels, uint8 (B, h, w), at `enlarge` times its resolution."""

    def __init__(self, network: Fcn, enlarge: int) -> None:
        super().__init__()
        self.network = network
        self.enlarge = enlarge

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(images)
        if self.enlarge > 1:
            logits = functional.interpolate(
                logits, scale_factor=float(self.enlarge), mode="bilinear", align_corners=False
            )
        return logits.argmax(1).to(torch.uint8)


def export_detector(
    network: RoomsNetwork, plan: TrainingPlan, folder: Path, samples: Sequence[LabelledImage]
) -> None:
    """Write the bundle of the detector with its explain graphs, and check it on real images.

    Raises ModelError where ONNX Runtime and PyTorch disagree, or the bundle does not load.
    """
    detector = folded(network.detector())
    spec = plan.default_boxes
    images = _inputs(samples)
    names = [f"feature_{level}" for level in range(len(spec.feature_maps))]
    write_onnx(detector, images[0], ["class_logits", "box_deltas", *names], folder / "model.onnx")
    worst = check_onnx(detector, folder / "model.onnx", images, _TOLERANCE)
    _log.info("%s differs from PyTorch by at most %.1g", folder / "model.onnx", worst)
    explain = _export_explanations(detector, plan, folder, images)
    description = _common(
        plan,
        folder,
        "detection",
        f"Finds {len(OBJECT_CLASSES)} kinds of objects in simulated rooms. SSDLite on MobileNetV2 "
        f"(width {plan.network.width:g}) with a light feature pyramid.",
    )
    description["output"] = {
        "format": "ssd_raw",
        "tensors": {"class_logits": "class_logits", "box_deltas": "box_deltas"},
        "default_boxes": {
            "feature_maps": [list(size) for size in spec.feature_maps],
            "scales": list(spec.scales),
            "aspect_ratios": [list(ratios) for ratios in spec.aspect_ratios],
            "clip": spec.clip,
        },
        "variances": list(SSD_VARIANCES),
    }
    description["labels"] = list(OBJECT_CLASSES)
    description["palette"] = MASK_PALETTE[-len(OBJECT_CLASSES) :].tolist()
    description["thresholds"] = {"score": 0.5, "iou": 0.45}
    description["explain"] = explain
    _write_yaml(folder / "model.yaml", description)
    load_bundle(folder)


def _export_explanations(
    detector: SsdLite, plan: TrainingPlan, folder: Path, images: Sequence[dict[str, Tensor]]
) -> list[dict[str, Any]]:
    """Write the explain graph of each level, and return model.yaml's entries for them."""
    spec = plan.default_boxes
    entries = []
    first = 0
    for level, count in enumerate(spec.boxes_per_level):
        graph = f"explain/level_{level}.onnx"
        head = detector.head.heads[level]
        features = [detector(case["images"]).features[level] for case in images]
        explanation = LevelExplanation(head, *spec.feature_maps[level])
        _export_level(explanation, head, features, folder / graph)
        entries.append(
            {
                "level": level,
                "graph": graph,
                "sha256": file_digest(folder / graph),
                "feature_map": f"feature_{level}",
                "anchors": [first, count],
            }
        )
        first += count
    return entries


def _export_level(
    explanation: LevelExplanation, head: LevelHead, features: Sequence[Tensor], path: Path
) -> None:
    """Write one explain graph; compare it with automatic differentiation on real features."""
    rng = np.random.default_rng(0)
    cases = []
    for feature in features:
        for _ in range(8):
            anchor = int(rng.integers(explanation.cells * explanation.boxes))
            class_index = int(rng.integers(explanation.outputs))
            case = {
                "feature_map": feature,
                "anchor": torch.tensor([anchor]),
                "class_index": torch.tensor([class_index]),
            }
            wanted = reference_cam(head, feature, anchor, class_index)
            difference = float((explanation(*case.values()) - wanted).abs().max())
            if not difference <= _EXPLAIN_TOLERANCE:
                raise ModelError(
                    f"{path}: Grad-CAM of anchor {anchor}, class {class_index} is off the head's "
                    f"gradient by {difference:.2g}: the head is not what LevelExplanation expects"
                )
            cases.append(case)
    write_onnx(explanation, cases[0], ["cam"], path)
    check_onnx(explanation, path, cases, _EXPLAIN_TOLERANCE)


def export_segmenter(
    network: RoomsNetwork,
    plan: TrainingPlan,
    folder: Path,
    samples: Sequence[LabelledImage],
    enlarge: int = 2,
) -> None:
    """Write the bundle of the segmenter, and check it on real images.

    enlarge: how much the stride-4 logits are enlarged in the graph before the best label is taken.
    Raises ModelError where ONNX Runtime and PyTorch disagree, or the bundle does not load.
    """
    fcn = folded(network.segmenter())
    images = _inputs(samples)
    # Logits are compared too: labels alone would hide a difference.
    write_onnx(fcn, images[0], ["mask_logits"], folder / "model.onnx")
    worst = check_onnx(fcn, folder / "model.onnx", images, _TOLERANCE)
    _log.info("%s differs from PyTorch by at most %.1g", folder / "model.onnx", worst)
    labels = MaskIndex(fcn, enlarge).eval()
    write_onnx(labels, images[0], ["mask_index"], folder / "model.onnx")
    check_onnx(labels, folder / "model.onnx", images, _TOLERANCE)
    description = _common(
        plan,
        folder,
        "segmentation",
        f"Labels floor, wall and {len(OBJECT_CLASSES)} kinds of objects in simulated rooms. FCN "
        f"with skip connections on MobileNetV2 (width {plan.network.width:g}).",
    )
    description["output"] = {"format": "mask_index", "tensors": {"mask_index": "mask_index"}}
    description["labels"] = list(MASK_LABELS)
    description["palette"] = MASK_PALETTE.tolist()
    _write_yaml(folder / "model.yaml", description)
    load_bundle(folder)


def write_quality(folder: Path, images: Sequence[LabelledImage], dataset: str) -> dict[str, Any]:
    """Measure a bundle as a robot would run it, record that in its model.yaml, and return it."""
    quality = {"dataset": dataset, **measure_bundle(load_bundle(folder), images)}
    path = folder / "model.yaml"
    description = yaml.safe_load(path.read_text(encoding="utf-8"))
    description["quality"] = quality
    _write_yaml(path, description)
    load_bundle(folder)
    return quality


def _inputs(samples: Sequence[LabelledImage]) -> list[dict[str, Tensor]]:
    """Return normalised one-image inputs; raises ModelError without samples."""
    if not samples:
        raise ModelError("no images to check the export on: give some of the rooms")
    return [
        {"images": normalise(torch.from_numpy(s.color[None].copy())).contiguous()} for s in samples
    ]


def _common(plan: TrainingPlan, folder: Path, task: str, description: str) -> dict[str, Any]:
    """Return the part of model.yaml that both bundles share."""
    return {
        "name": folder.name,
        "version": _VERSION,
        "task": task,
        "description": description,
        "licence": "Apache-2.0",
        "source": _SOURCE,
        "model": {"file": "model.onnx", "sha256": file_digest(folder / "model.onnx")},
        "input": {
            "name": "images",
            "width": plan.network.image_width,
            "height": plan.network.image_height,
            "channels": "rgb",
            "resize": "stretch",
            "mean": list(MEAN),
            "std": list(STD),
        },
    }


def _write_yaml(path: Path, tree: dict[str, Any]) -> None:
    """Write YAML with short lists on one line, keys in their given order."""
    text = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=100)
    path.write_text(text, encoding="utf-8")
