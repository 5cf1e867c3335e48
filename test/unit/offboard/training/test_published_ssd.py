"""Matching and loss against torchvision's SSD, where both follow the same rules."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torchvision.models import detection  # noqa: E402
from torchvision.ops import box_iou  # noqa: E402

from cnn_perception.formats.default_boxes import default_boxes  # noqa: E402
from cnn_perception.formats.format import to_corners  # noqa: E402
from cnn_perception.offboard.networks.ssd import SSDLITE320_BOXES  # noqa: E402
from cnn_perception.offboard.training.losses import multibox_loss  # noqa: E402
from cnn_perception.offboard.training.matching import Matcher  # noqa: E402

SIDE = 320
PRIORS = default_boxes(SSDLITE320_BOXES)
CORNERS = to_corners(PRIORS)


@pytest.fixture(scope="module")
def model() -> detection.ssd.SSD:
    with torch.device("meta"):
        return detection.ssdlite320_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=6
        )


def objects(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Objects that want different default boxes: of two that want one, each side has its own rule.

    All overlap a good many, so that three times as many negatives are more than ours at least.
    """
    chosen: list[np.ndarray] = []
    wanted: set[int] = set()
    while len(chosen) < 5:
        low = rng.uniform(0.0, 0.6, 2)
        box = np.concatenate([low, low + rng.uniform(0.2, 0.4, 2)]).astype(np.float32)
        iou = box_iou(torch.from_numpy(CORNERS), torch.from_numpy(box[None]))[:, 0]
        best = int(iou.argmax())
        # Neither float32's rounding nor a tie decides which default box is an object.
        near = (iou - 0.5).abs().min() < 1e-5 or iou.topk(2).values.diff().abs() < 1e-5
        if best not in wanted and not near:
            wanted.add(best)
            chosen.append(box)
    return np.stack(chosen), rng.integers(0, 5, len(chosen))


@pytest.mark.parametrize("seed", range(6))
def test_targets_and_losses_are_torchvisions(model: detection.ssd.SSD, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matcher = Matcher(PRIORS)
    anchors = torch.from_numpy(CORNERS) * SIDE
    logits = torch.from_numpy(rng.normal(size=(2, len(PRIORS), 6)).astype(np.float32))
    deltas = torch.from_numpy(rng.normal(size=(2, len(PRIORS), 4)).astype(np.float32))
    targets, matches, ours = [], [], []
    for _ in range(2):
        boxes, classes = objects(rng)
        pixels = torch.from_numpy(boxes) * SIDE
        targets.append({"boxes": pixels, "labels": torch.from_numpy(classes) + 1})
        matches.append(model.proposal_matcher(box_iou(pixels, anchors)))
        ours.append(matcher(boxes, classes, np.zeros(len(boxes), bool)))
        labels = np.append(classes + 1, 0)[matches[-1].numpy()]
        np.testing.assert_array_equal(ours[-1].classes, labels)
    wanted = model.compute_loss(
        targets, {"cls_logits": logits, "bbox_regression": deltas}, [anchors] * 2, matches
    )
    class_loss, offset_loss = multibox_loss(
        logits,
        deltas,
        torch.from_numpy(np.stack([t.classes for t in ours])),
        torch.from_numpy(np.stack([t.deltas for t in ours])),
        model.neg_to_pos_ratio,
    )
    assert class_loss.item() == pytest.approx(wanted["classification"].item(), rel=1e-5)
    assert offset_loss.item() == pytest.approx(wanted["bbox_regression"].item(), rel=1e-4)
