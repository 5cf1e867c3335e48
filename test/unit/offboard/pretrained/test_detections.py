"""Detectors of torchvision as graphs, against torchvision's own code and as ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet  # noqa: E402
from torchvision.models.detection.anchor_utils import AnchorGenerator  # noqa: E402
from torchvision.ops import MultiScaleRoIAlign, batched_nms  # noqa: E402

from cnn_perception.config import DetectorConfig  # noqa: E402
from cnn_perception.detection.detector import Detector  # noqa: E402
from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.formats.torchvision import TorchvisionFormat  # noqa: E402
from cnn_perception.image.preprocess import Preprocessor  # noqa: E402
from cnn_perception.offboard.pretrained.bundles import write_published  # noqa: E402
from cnn_perception.offboard.pretrained.catalog import find_published  # noqa: E402
from cnn_perception.offboard.pretrained.detections import (  # noqa: E402
    answer_of_torchvision,
    best_of_each,
    detections_apart,
)
from cnn_perception.offboard.pretrained.pull import check_pictures  # noqa: E402
from cnn_perception.offboard.pretrained.retinanet import RetinaNetDetector  # noqa: E402
from cnn_perception.offboard.pretrained.two_stage import TwoStageDetector  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.runtime.inference import Session  # noqa: E402

HEIGHT, WIDTH = 64, 96
CLASSES = 91


class Pyramid(nn.Module):
    """Maps of 16x24 and 8x12 with 8 channels, for 64x96 images."""

    out_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, stride=4, padding=2)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        fine = self.first(images).relu()
        return {"0": fine, "1": self.second(fine)}


def anchors() -> AnchorGenerator:
    return AnchorGenerator(((8,), (20,)), ((0.5, 1.0, 2.0),) * 2)


def two_stage(kind: type[FasterRCNN] = FasterRCNN) -> FasterRCNN:
    more = {"mask_roi_pool": MultiScaleRoIAlign(["0"], 14, 2)} if kind is MaskRCNN else {}
    return kind(
        Pyramid(),
        CLASSES,
        rpn_anchor_generator=anchors(),
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_test=60,
        rpn_score_thresh=0.9,
        box_roi_pool=MultiScaleRoIAlign(["0", "1"], 3, 2, canonical_scale=16),
        box_detections_per_img=20,
        **more,
    )


def retinanet() -> RetinaNet:
    return RetinaNet(
        Pyramid(),
        CLASSES,
        anchor_generator=anchors(),
        topk_candidates=50,
        score_thresh=0.2,
        detections_per_img=30,
    )


def lively(model: nn.Module) -> nn.Module:
    """Weights with which scores are spread and boxes stay near their anchors."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                boxes = "bbox" in name or "regression" in name
                nn.init.kaiming_normal_(module.weight)
                module.weight.mul_(0.2 if boxes else 1.2)
                nn.init.zeros_(module.bias)
            # Where nothing is to be seen, nothing is answered.
            if name.endswith("cls_score"):
                module.bias[0] = 3.0
            elif name.endswith("classification_head.cls_logits"):
                nn.init.constant_(module.bias, -2.0)
    return model.eval()


def pictures(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(1, 3, HEIGHT, WIDTH, generator=generator) for _ in range(count)]


BUILDERS = {
    "faster_rcnn": two_stage,
    "mask_rcnn": lambda: two_stage(MaskRCNN),
    "retinanet": retinanet,
}


def graph_of(name: str) -> tuple[nn.Module, nn.Module]:
    """Return torchvision's detector and the graph."""
    model = lively(BUILDERS[name]())
    form = RetinaNetDetector if name == "retinanet" else TwoStageDetector
    return model, form(model, HEIGHT, WIDTH).eval()


@pytest.mark.parametrize("name", BUILDERS)
def test_graph_answers_as_torchvision(name: str) -> None:
    model, graph = graph_of(name)
    labels: set[int] = set()
    for image in pictures(4):
        with torch.no_grad():
            found = graph(image)
        expected = answer_of_torchvision(model, image)
        assert len(expected[0]) > 5, "nothing to compare"
        for have, want in zip(found, expected, strict=True):
            torch.testing.assert_close(have, want, rtol=1e-5, atol=1e-4)
        labels |= set(expected[1].tolist())
    assert len(labels) > 2


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn"])
def test_bundle_answers_as_torchvision(name: str, tmp_path: Path) -> None:
    """A small network in the place of the published one, on its way to a detector that runs."""
    model = lively(two_stage() if name.startswith("faster") else retinanet())
    room = check_pictures()[0]
    folder = tmp_path / name
    assert write_published(find_published(name), model, folder, [room], (WIDTH, HEIGHT)) < 1e-3
    bundle = load_bundle(folder)
    assert isinstance(bundle.output, TorchvisionFormat) and bundle.output.background == 0
    detector = Detector(bundle, DetectorConfig(score_threshold=0.0))
    found = detector.detect(room)
    tensor, placement = Preprocessor(bundle.input)(room)
    boxes, labels, scores = answer_of_torchvision(model, torch.from_numpy(tensor))
    assert len(found.scores) == len(scores) > 5
    theirs = (placement.boxes_to_source(boxes.numpy()), labels.numpy() - 1, scores.numpy())
    assert detections_apart((found.boxes, found.class_ids, found.scores), theirs) < 1e-2

    nothing = np.zeros((1, 3, HEIGHT, WIDTH), np.float32)
    answer = Session(bundle).run({"images": nothing})
    assert [answer[role].shape for role in ("boxes", "labels", "scores")] == [(0, 4), (0,), (0,)]


def test_nothing_found_proves_nothing(tmp_path: Path) -> None:
    model = lively(two_stage())
    model.roi_heads.score_thresh = 1.1
    published = find_published("fasterrcnn_resnet50_fpn")
    with pytest.raises(ModelError, match=r"nothing is found in the pictures.*--picture"):
        write_published(published, model, tmp_path / "x", check_pictures()[:1], (WIDTH, HEIGHT))
    assert list(tmp_path.iterdir()) == []


def test_other_versions_of_torchvision_are_noticed(tmp_path: Path) -> None:
    model = lively(retinanet())
    published = find_published("retinanet_resnet50_fpn")
    model.postprocess_detections = _halved(model.postprocess_detections)
    with pytest.raises(ModelError, match="detections differ from torchvision's by"):
        write_published(published, model, tmp_path / "x", check_pictures()[:1], (WIDTH, HEIGHT))
    assert list(tmp_path.iterdir()) == []


def _halved(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose boxes are half as large."""

    def changed(*arguments: Any) -> Any:
        return [{**found, "boxes": found["boxes"] / 2} for found in function(*arguments)]

    return changed


@pytest.mark.parametrize("size", [(100, 64), (32, 64), (64, 8192)])
def test_sizes_that_pyramids_cannot_take(size: tuple[int, int], tmp_path: Path) -> None:
    published = find_published("fasterrcnn_resnet50_fpn")
    message = rf"size {size[0]}x{size[1]}: give multiples of 32, from 64 to 4096"
    with pytest.raises(ConfigError, match=message):
        write_published(published, two_stage(), tmp_path / "x", check_pictures()[:1], size)


def test_groups_do_not_suppress_each_other() -> None:
    """As torchvision's suppression, for boxes all over an image, among them one of its size."""
    generator = torch.Generator().manual_seed(5)
    corners = torch.rand(400, 2, 2, generator=generator).sort(dim=1).values.reshape(400, 4)
    boxes = corners * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    boxes[0] = torch.tensor([0.0, 0.0, WIDTH, HEIGHT])
    scores = torch.rand(400, generator=generator)
    groups = torch.randint(4, (400,), generator=generator)
    kept = best_of_each(boxes, scores, groups, 0.3, WIDTH, 300)
    assert kept.tolist() == batched_nms(boxes, scores, groups, 0.3).tolist()
    assert 20 < len(kept) < 300
    assert best_of_each(boxes, scores, groups, 0.3, WIDTH, 7).tolist() == kept[:7].tolist()


def test_transform_is_put_back() -> None:
    model = lively(two_stage())
    transform = model.transform
    answer_of_torchvision(model, pictures(1)[0])
    assert model.transform is transform


def detections(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 100, (count, 4)).astype(np.float32)
    return [boxes, rng.integers(0, 3, count), rng.uniform(0, 1, count).astype(np.float32)]


def test_order_does_not_matter() -> None:
    first = detections(120)
    order = np.random.default_rng(1).permutation(120)
    assert detections_apart([x[order] for x in first], first) == 0.0


def test_scores_and_corners_count() -> None:
    first = detections(10)
    boxes, labels, scores = (x.copy() for x in first)
    scores[3] += 0.01
    assert detections_apart((boxes, labels, scores), first) == pytest.approx(0.01, rel=1e-3)
    boxes[4, 2] += 2.0
    assert detections_apart((boxes, labels, first[2]), first) == pytest.approx(0.02, rel=1e-3)


def test_labels_and_missing_ones_count() -> None:
    first = detections(10)
    wrong = [first[0], (first[1] + 1) % 3, first[2]]
    assert detections_apart(wrong, first) > 0.1
    assert detections_apart([x[1:] for x in first], first) > 0.05
    assert detections_apart(first, [x[1:] for x in first]) > 0.05
    nothing = [x[:0] for x in first]
    assert detections_apart(nothing, first) == float("inf")
    assert detections_apart(first, nothing) == float("inf")
    assert detections_apart(nothing, nothing) == 0.0


def test_one_tie_in_fifty_may_go_the_other_way() -> None:
    first, other = detections(100), detections(1, seed=5)
    swapped = [np.concatenate([x[:99], y]) for x, y in zip(first, other, strict=True)]
    assert detections_apart(swapped, first) == 0.0
    swapped = [
        np.concatenate([x[:95], y]) for x, y in zip(first, detections(5, seed=5), strict=True)
    ]
    assert detections_apart(swapped, first) > 0.01
