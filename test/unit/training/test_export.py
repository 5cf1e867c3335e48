from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")

from cnn_perception.config import ExplainerConfig  # noqa: E402
from cnn_perception.datasets.labelled import LabelledImage  # noqa: E402
from cnn_perception.detection.detector import Detector  # noqa: E402
from cnn_perception.errors import ModelError  # noqa: E402
from cnn_perception.explain.explainer import Explainer  # noqa: E402
from cnn_perception.networks.fold import folded  # noqa: E402
from cnn_perception.networks.rooms import RoomsNetwork  # noqa: E402
from cnn_perception.networks.ssdlite import LevelHead  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.segmentation.segmenter import Segmenter  # noqa: E402
from cnn_perception.training.config import TrainingPlan, parse_plan  # noqa: E402
from cnn_perception.training.export import (  # noqa: E402
    export_detector,
    export_segmenter,
    write_quality,
)
from cnn_perception.training.level_explanation import (  # noqa: E402
    LevelExplanation,
    reference_cam,
)
from cnn_perception.training.loop import build_network  # noqa: E402
from cnn_perception.training.onnx_file import check_onnx, write_onnx  # noqa: E402


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return parse_plan(
        {
            "network": {
                "image_width": 64,
                "image_height": 64,
                "width": 0.25,
                "box_width": 16,
                "mask_width": 16,
            },
            "default_boxes": {
                "scales": [0.1, 0.3, 0.6, 0.9],
                "aspect_ratios": [[2], [2, 3], [2]],
            },
        },
        "test",
    )


@pytest.fixture(scope="module")
def network(plan: TrainingPlan) -> RoomsNetwork:
    """Untrained, but with normalisation statistics that are not those of a new network."""
    torch.manual_seed(1)
    result = build_network(plan).train()
    with torch.no_grad():
        for _ in range(4):
            result(torch.randn(4, 3, 64, 64))
        for head in result.boxes.heads:
            torch.nn.init.normal_(head.classes.weight, std=0.3)
    return result.eval()


@pytest.fixture(scope="module")
def images() -> list[LabelledImage]:
    rng = np.random.default_rng(0)
    return [
        LabelledImage(
            rng.integers(0, 256, (64, 64, 3)).astype(np.uint8),
            rng.integers(0, 15, (64, 64)).astype(np.uint8),
            np.array([[5, 5, 30, 40]], np.float32),
            np.array([2], np.int32),
            np.array([False]),
        )
        for _ in range(2)
    ]


@pytest.mark.parametrize("size", [(6, 8), (2, 2), (1, 3)])
def test_grad_cam_in_closed_form_is_the_heads_gradient(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    head = LevelHead(12, 4, 5)
    torch.nn.init.normal_(head.classes.weight)
    head(torch.randn(8, 12, *size) * 4)  # leaves statistics behind, and values above 6
    head = folded(head)
    explanation = LevelExplanation(head, *size)
    feature = torch.randn(1, 12, *size).abs() * 4
    seen = 0.0
    for anchor in range(size[0] * size[1] * 4):
        for class_index in range(5):
            wanted = reference_cam(head, feature, anchor, class_index)
            answer = explanation(feature, torch.tensor([anchor]), torch.tensor([class_index]))
            torch.testing.assert_close(answer, wanted, atol=1e-5, rtol=1e-5)
            seen = max(seen, float(answer.max()))
    assert seen > 0


def test_folding_changes_nothing(network: RoomsNetwork) -> None:
    image = torch.randn(2, 3, 64, 64)
    fused = folded(network)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    with torch.no_grad():
        plain, quick = network(image), fused(image)
    torch.testing.assert_close(quick.mask_logits, plain.mask_logits, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        quick.boxes.class_logits, plain.boxes.class_logits, atol=1e-4, rtol=1e-3
    )


def test_exported_detector_detects_and_explains(
    network: RoomsNetwork, plan: TrainingPlan, images: list[LabelledImage], tmp_path: Path
) -> None:
    folder = tmp_path / "tiny_ssdlite"
    export_detector(network, plan, folder, images)
    bundle = load_bundle(folder)
    assert len(bundle.explain) == 3
    raw = Detector(bundle).infer(images[0].color)
    from cnn_perception.training.normalise import normalise

    with torch.no_grad():
        wanted = network(normalise(torch.from_numpy(images[0].color[None]))).boxes
    np.testing.assert_allclose(raw.tensors["class_logits"], wanted.class_logits, atol=1e-3)
    np.testing.assert_allclose(raw.tensors["box_deltas"], wanted.box_deltas, atol=1e-3)
    explanation = Explainer(bundle, ExplainerConfig(score_threshold=0.0)).explain(images[0].color)
    assert explanation.class_id is not None
    assert explanation.heatmap.shape == (64, 64)
    quality = write_quality(folder, images, "noise")
    assert quality["images"] == 2 and quality["objects"] == 2
    assert load_bundle(folder).quality == quality


def test_exported_segmenter_answers_as_the_network(
    network: RoomsNetwork, plan: TrainingPlan, images: list[LabelledImage], tmp_path: Path
) -> None:
    folder = tmp_path / "tiny_fcn"
    export_segmenter(network, plan, folder, images, enlarge=4)
    mask = Segmenter(load_bundle(folder)).segment(images[0].color)
    from cnn_perception.training.normalise import normalise

    with torch.no_grad():
        logits = network(normalise(torch.from_numpy(images[0].color[None]))).mask_logits
    full = torch.nn.functional.interpolate(logits, scale_factor=4.0, mode="bilinear")
    assert (full.argmax(1)[0].numpy() == mask).mean() > 0.999
    assert write_quality(folder, images, "noise")["images"] == 2


def test_file_that_differs_from_the_network_is_refused(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2).eval()
    case = {"x": torch.randn(1, 3)}
    write_onnx(layer, case, ["y"], tmp_path / "layer.onnx")
    assert check_onnx(layer, tmp_path / "layer.onnx", [case], 1e-5) < 1e-5
    with torch.no_grad():
        layer.bias += 0.1
    with pytest.raises(ModelError, match=r"differs from PyTorch by 0\.1"):
        check_onnx(layer, tmp_path / "layer.onnx", [case], 1e-3)


def test_export_without_images_is_refused(
    network: RoomsNetwork, plan: TrainingPlan, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="no images"):
        export_detector(network, plan, tmp_path / "bundle", [])
