"""The explanation benchmark's contenders in PyTorch: they agree, or are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")
pytest.importorskip("pytorch_grad_cam", reason="grad-cam is an extra: [oracle]")
pytest.importorskip("captum", reason="captum is an extra: [oracle]")

from torch import nn  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.image.preprocess import InputSpec  # noqa: E402
from cnn_perception.offboard.benchmarks.explain import detection_jobs  # noqa: E402
from cnn_perception.offboard.benchmarks.explain_torch import (  # noqa: E402
    GradCamTwin,
    classifier_jobs,
    overlays,
)
from cnn_perception.offboard.explain_methods.network import OpenNetwork  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from looked_into import small_network  # noqa: E402
from models import paint  # noqa: E402

PICTURE = paint({(2, 3): "red", (4, 1): "green"})


def test_all_explain_a_classifier_alike() -> None:
    network = small_network().eval()
    spec = InputSpec("images", 64, 64, mean=(100.0,) * 3, std=(60.0,) * 3)
    jobs = classifier_jobs(OpenNetwork("small", network, spec), PICTURE)
    maps = [[each.run(0) for each in job.contenders[:-1]] for job in jobs]
    ours = ["PyTorch, this package", "ONNX Runtime, explain graph"]
    rows = [["pytorch-grad-cam", "Captum", *ours], ["pytorch-grad-cam", *ours]]
    for job, expected, found in zip(jobs, rows, maps, strict=True):
        names = [each.name for each in job.contenders]
        assert names == [*expected, "ONNX Runtime, network alone"]
        assert not job.refused
        first, *others, forward = job.contenders
        assert first.difference is None and forward.difference is None
        assert all(each.difference is not None and each.difference < 1e-4 for each in others)
        for heat in found:
            assert np.shape(heat) == (64, 64) and np.max(heat) > 0.99
            np.testing.assert_allclose(heat, found[0], atol=1e-4)
    assert np.abs(np.subtract(maps[0][0], maps[1][0])).max() > 1e-3, "both methods are one"


def test_the_layer_is_the_one_that_the_explain_graph_reads() -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.MaxPool2d(2))
    network = nn.Sequential(trunk, nn.Flatten(), nn.Linear(6 * 15 * 15, 4)).eval()
    spec = InputSpec("images", 64, 64, mean=(100.0,) * 3, std=(60.0,) * 3)
    first, _ = classifier_jobs(OpenNetwork("pooled", network, spec), PICTURE)
    assert first.name == "pooled at 64x64: Grad-CAM of 0.1" and not first.refused

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head = nn.Conv2d(3, 6, 5, 2), nn.Linear(6 * 15 * 15, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(nn.functional.max_pool2d(self.trunk(images).relu(), 2).flatten(1))

    whole = Whole().eval()
    with pytest.raises(ConfigError, match="no layer of whole answers with the maps"):
        classifier_jobs(OpenNetwork("whole", whole, spec), PICTURE)


@pytest.fixture
def room(repository: Path) -> np.ndarray:
    bgr = cv2.imread(str(repository / "models" / "room.jpg"))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def test_the_shipped_detector_agrees_with_pytorch_grad_cam(room: np.ndarray) -> None:
    bundle = load_bundle("rooms_ssdlite")
    best, graphs, *_ = detection_jobs(bundle, room, GradCamTwin(bundle))
    compared = [best.contenders[2], *graphs.contenders[1:]]
    assert len(compared) == 6
    assert all(each.difference is not None and each.difference < 1e-4 for each in compared)


def test_who_explains_another_class_is_refused(room: np.ndarray) -> None:
    class Next(GradCamTwin):
        def grad_cam(
            self, tensor: np.ndarray, feature_map: str, row: int, class_index: int
        ) -> np.ndarray:
            return super().grad_cam(tensor, feature_map, row, class_index % 12 + 1)

    bundle = load_bundle("rooms_ssdlite")
    best, graphs, *_ = detection_jobs(bundle, room, Next(bundle))
    assert list(best.refused) == ["Explainer"]
    assert "level 2, 8x6" in graphs.refused


def test_drawings_of_others() -> None:
    heat = np.linspace(0, 1, PICTURE[..., 0].size, dtype=np.float32).reshape(480, 640)
    float_picture, uint8_picture = (each.run(0) for each in overlays(PICTURE, heat))
    assert np.shape(float_picture) == PICTURE.shape
    np.testing.assert_array_equal(float_picture, uint8_picture)
