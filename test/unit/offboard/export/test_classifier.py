from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")

from torch import nn  # noqa: E402

from cnn_perception.image.preprocess import InputSpec  # noqa: E402
from cnn_perception.offboard.export.bundle import About, prepared  # noqa: E402
from cnn_perception.offboard.export.classifier import export_classifier  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.runtime.inference import Session  # noqa: E402
from cnn_perception.types import UInt8Array  # noqa: E402


def test_exported_classifier_answers_as_the_network(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, 4, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    ).eval()
    about = About("tiny", "Apache-2.0", "a test", "1.0")
    folder = tmp_path / "tiny"
    export_classifier(network, folder, pictures, about, spec=spec, labels=("a", "b", "c"))
    bundle = load_bundle(folder)
    assert bundle.task == "classification" and bundle.labels == ("a", "b", "c")
    image = prepared(spec, pictures)[1]
    answer = Session(bundle).run({"images": image.numpy()})["class_logits"]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(answer), network(image), atol=1e-5, rtol=1e-5)
