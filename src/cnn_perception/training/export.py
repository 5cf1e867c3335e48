"""The shipped bundles, written from the network of simulated rooms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.export.bundle import About
from cnn_perception.export.detector import export_detector
from cnn_perception.export.segmenter import export_segmenter
from cnn_perception.image.preprocess import InputSpec
from cnn_perception.networks.rooms import RoomsNetwork
from cnn_perception.simulation.labels import MASK_LABELS, MASK_PALETTE, OBJECT_CLASSES
from cnn_perception.training.config import TrainingPlan
from cnn_perception.training.normalise import MEAN, STD

__all__ = ["export_rooms"]

_SOURCE = "cnn-perception train config/training/rooms.yaml"
_LIMITS = "Trained on simulated rooms alone: of real rooms it sees part, and takes some for others."


def export_rooms(
    network: RoomsNetwork,
    plan: TrainingPlan,
    out: Path,
    samples: Sequence[LabelledImage],
    enlarge: int = 2,
) -> tuple[Path, Path]:
    """Write rooms_ssdlite and rooms_fcn below a folder; return both folders.

    enlarge: of the stride-4 mask logits, before the best label is taken. Raises ModelError where
    ONNX Runtime and PyTorch disagree.
    """
    width, height = plan.network.image_width, plan.network.image_height
    spec = InputSpec("images", width, height, mean=MEAN, std=STD)
    pictures = [sample.color for sample in samples]
    detector, segmenter = out / "rooms_ssdlite", out / "rooms_fcn"
    trunk = f"MobileNetV2 (width {plan.network.width:g})"
    export_detector(
        network.detector(),
        detector,
        pictures,
        About(
            f"Finds {len(OBJECT_CLASSES)} kinds of objects in simulated rooms. SSDLite on {trunk} "
            "with a light feature pyramid.",
            "Apache-2.0",
            _SOURCE,
            "0.1.0",
            _LIMITS,
            palette=MASK_PALETTE[-len(OBJECT_CLASSES) :].tolist(),
        ),
        spec=spec,
        boxes=plan.default_boxes,
        labels=OBJECT_CLASSES,
    )
    export_segmenter(
        network.segmenter(),
        segmenter,
        pictures,
        About(
            f"Labels floor, wall and {len(OBJECT_CLASSES)} kinds of objects in simulated rooms. "
            f"FCN with skip connections on {trunk}.",
            "Apache-2.0",
            _SOURCE,
            "0.1.0",
            _LIMITS,
            palette=MASK_PALETTE.tolist(),
        ),
        spec=spec,
        labels=MASK_LABELS,
        enlarge=enlarge,
    )
    return detector, segmenter
