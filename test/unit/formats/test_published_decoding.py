"""The decoders against the published post-processing, written with torch and torchvision."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
torchvision: Any = pytest.importorskip("torchvision", reason="torchvision is an extra: [train]")

from cnn_perception.config import DetectorConfig  # noqa: E402
from cnn_perception.detection.detector import Detector  # noqa: E402
from cnn_perception.image.preprocess import Placement  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.runtime.inference import RawAnswer  # noqa: E402
from cnn_perception.types import Detections  # noqa: E402
from detector_formats import write_format_bundle  # noqa: E402

WIDTH, HEIGHT, CLASSES = 128, 96, 3
SCORE, IOU, MOST = 0.3, 0.45, 300
WHOLE = Placement((WIDTH, HEIGHT), (WIDTH, HEIGHT), (WIDTH, HEIGHT), (0, 0))
"""The picture is the input: boxes are only clipped."""


@pytest.fixture(params=range(3))
def random(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(request.param)


def _centers(random: np.random.Generator, count: int) -> np.ndarray:
    """Boxes cx, cy, w, h inside the input, so many that most overlap another."""
    size = random.uniform(8, 40, (count, 2))
    center = random.uniform(size / 2, np.array([WIDTH, HEIGHT]) - size / 2)
    return np.hstack([center, size]).astype(np.float32)


def _found(tmp_path: Path, form: str, tensors: dict[str, np.ndarray]) -> Detections:
    detector = Detector(load_bundle(write_format_bundle(tmp_path / form, form)))
    detector.config = DetectorConfig(score_threshold=SCORE, max_detections=MOST)
    return detector.select(RawAnswer(tensors, WHOLE))


def _check(found: Detections, boxes: Any, scores: Any, labels: Any, *, atol: float = 1e-4) -> None:
    assert 5 < len(found) == len(scores)
    np.testing.assert_array_equal(found.class_ids, labels)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-4)
    np.testing.assert_allclose(found.boxes, boxes, rtol=0, atol=atol)


def _yolo(rows: Any, *, objectness: bool) -> tuple[Any, Any, Any]:
    """ultralytics' ``non_max_suppression`` with ``multi_label=False``, class by class.

    rows: (N, 4 + objectness + classes); utils/general.py of yolov5, utils/ops.py of ultralytics.
    """
    if objectness:
        rows = rows[rows[:, 4] > SCORE]
        scores = rows[:, 5:] * rows[:, 4:5]
    else:
        scores = rows[:, 4:]
    boxes = torchvision.ops.box_convert(rows[:, :4], "cxcywh", "xyxy")
    best, labels = scores.max(1)
    keep = best > SCORE
    boxes, best, labels = boxes[keep], best[keep], labels[keep]
    kept = torchvision.ops.batched_nms(boxes, best, labels, IOU)[:MOST]
    return boxes[kept], best[kept], labels[kept]


def test_yolo_v5(random: np.random.Generator, tmp_path: Path) -> None:
    rows = np.hstack([_centers(random, 300), random.random((300, 1 + CLASSES), np.float32)])
    found = _found(tmp_path, "yolo_v5", {"predictions": rows[None]})
    _check(found, *_yolo(torch.from_numpy(rows), objectness=True))


def test_yolo_v8(random: np.random.Generator, tmp_path: Path) -> None:
    rows = np.hstack([_centers(random, 300), random.random((300, CLASSES), np.float32)])
    found = _found(tmp_path, "yolo_v8", {"predictions": np.ascontiguousarray(rows.T)[None]})
    _check(found, *_yolo(torch.from_numpy(rows), objectness=False))


def test_detr(random: np.random.Generator, tmp_path: Path) -> None:
    """facebookresearch/detr, models/detr.py, ``PostProcess``; then the threshold of its demo."""
    size = np.array([WIDTH, HEIGHT] * 2, np.float32)
    boxes = _centers(random, 100) / size
    logits = random.normal(0, 3, (100, CLASSES + 1)).astype(np.float32)
    found = _found(tmp_path, "detr", {"logits": logits[None], "boxes": boxes[None]})
    probabilities = torch.softmax(torch.from_numpy(logits), -1)
    scores, labels = probabilities[..., :-1].max(-1)
    corners = torchvision.ops.box_convert(torch.from_numpy(boxes), "cxcywh", "xyxy")
    corners = corners * torch.from_numpy(size)
    order = torch.argsort(scores, descending=True)
    order = order[scores[order] > SCORE]
    _check(found, corners[order], scores[order], labels[order])


@pytest.fixture(scope="module")
def network() -> Any:
    """torchvision's SSDLite with random weights that keep the size of activations.

    As it is made, its answers are 1e-19 and all scores equal: nothing could be compared.
    """
    torch.manual_seed(0)
    model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, detections_per_img=100
    )
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        features = model.train().backbone(torch.randn(4, 3, 320, 320))
        model.head(list(features.values()))
    return model.eval()


def test_a_network_of_torchvision(network: Any, tmp_path: Path) -> None:
    """torchvision's own export, whole, answers in ONNX Runtime as the network does in PyTorch."""
    folder = write_format_bundle(
        tmp_path / "ssdlite",
        "torchvision",
        changes={
            "model": {"file": "model.onnx"},
            "input": {
                "name": "image",
                "width": 320,
                "height": 320,
                "channels": "rgb",
                "resize": "stretch",
                "mean": [0, 0, 0],
                "std": [255, 255, 255],
            },
        },
    )
    picture = np.random.default_rng(1).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    image = torch.from_numpy(picture.transpose(2, 0, 1)[None] / np.float32(255))
    names = ["boxes", "scores", "labels"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (image,),
            str(folder / "model.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=names,
        )
    detector = Detector(load_bundle(folder), DetectorConfig(score_threshold=0.0))
    found = detector.detect(picture)
    with torch.no_grad():
        answer = network(image)[0]
    assert set(answer["labels"].tolist()) == {1, 2, 3}
    # Pixels: boxes of random offsets are up to e^4 default boxes large, which amplifies rounding.
    _check(found, answer["boxes"], answer["scores"], answer["labels"] - 1, atol=0.01)
