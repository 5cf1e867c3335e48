from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")

from torch import nn  # noqa: E402

from cnn_perception.config import ExplainerConfig  # noqa: E402
from cnn_perception.detection.detector import Detector  # noqa: E402
from cnn_perception.explain.explainer import Explainer  # noqa: E402
from cnn_perception.formats.default_boxes import DefaultBoxSpec  # noqa: E402
from cnn_perception.formats.ssd_raw import SsdRawFormat  # noqa: E402
from cnn_perception.image.preprocess import InputSpec  # noqa: E402
from cnn_perception.offboard.export.bundle import About, prepared  # noqa: E402
from cnn_perception.offboard.export.detector import export_detector  # noqa: E402
from cnn_perception.offboard.export.onnx_file import OnnxOptions  # noqa: E402
from cnn_perception.offboard.networks.rooms import RoomsNetwork  # noqa: E402
from cnn_perception.offboard.networks.ssdlite import SsdOutputs  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.types import UInt8Array  # noqa: E402

LABELS = ("a", "b", "c", "d", "e")
ABOUT = About("tiny", "Apache-2.0", "a test", "1.0", plan={"optimisation": {"seed": 7}})


def test_exported_detector_detects_and_explains(
    network: RoomsNetwork,
    spec: InputSpec,
    boxes: DefaultBoxSpec,
    pictures: Sequence[UInt8Array],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "tiny_ssdlite"
    worst = export_detector(
        network.detector(), folder, pictures, ABOUT, spec=spec, boxes=boxes, labels=LABELS
    )
    assert worst < 1e-4
    bundle = load_bundle(folder)
    assert isinstance(bundle.output, SsdRawFormat)
    assert bundle.name == "tiny_ssdlite" and bundle.output.default_boxes == boxes
    assert len(bundle.explain) == 3
    raw = Detector(bundle).infer(pictures[0])
    with torch.no_grad():
        wanted = network(prepared(spec, pictures)[0]).boxes
    np.testing.assert_allclose(raw.tensors["class_logits"], wanted.class_logits, atol=1e-3)
    np.testing.assert_allclose(raw.tensors["box_deltas"], wanted.box_deltas, atol=1e-3)
    explanation = Explainer(bundle, ExplainerConfig(score_threshold=0.0)).explain(pictures[0])
    assert explanation.best is not None
    assert explanation.heatmap.shape == (64, 64)


class PlainSsd(nn.Module):
    """Any network that answers with `SsdOutputs`; one level, whose maps lie 8 pixels apart."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 8, 8, 8)
        self.classes = nn.Conv2d(8, 4 * (len(LABELS) + 1), 3, padding=1)
        self.offsets = nn.Conv2d(8, 4 * 4, 3, padding=1)

    def forward(self, images: torch.Tensor) -> SsdOutputs:
        features = self.trunk(images)
        classes, offsets = (
            head(features).permute(0, 2, 3, 1).reshape(images.shape[0], -1, size)
            for head, size in ((self.classes, len(LABELS) + 1), (self.offsets, 4))
        )
        return SsdOutputs(classes, offsets, (features,))


def test_detector_of_another_kind_with_a_batch_of_any_size(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    steps = DefaultBoxSpec(((8, 8),), (0.1, 0.3), ((2.0,),), (8.0,), (64, 64), clip=False)
    folder = tmp_path / "plain"
    export_detector(
        PlainSsd().eval(),
        folder,
        pictures,
        ABOUT,
        spec=spec,
        boxes=steps,
        labels=LABELS,
        options=OnnxOptions(dynamic_batch=True),
    )
    bundle = load_bundle(folder)
    assert isinstance(bundle.output, SsdRawFormat) and bundle.output.default_boxes == steps
    assert [(graph.level, graph.feature_map) for graph in bundle.explain] == [(0, "feature_0")]
    explanation = Explainer(bundle, ExplainerConfig(score_threshold=0.0)).explain(pictures[0])
    assert explanation.best is not None
