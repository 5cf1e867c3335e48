from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.offboard.training.losses import (  # noqa: E402
    UNLABELLED,
    dice_loss,
    mask_entropy,
    multibox_loss,
)


def mask_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return mask_entropy(logits, masks) + dice_loss(logits, masks)


def reference_multibox(
    logits: np.ndarray, deltas: np.ndarray, classes: np.ndarray, offsets: np.ndarray, ratio: float
) -> tuple[float, float]:
    """Image by image, with sorting."""
    chosen, smooth, positives = 0.0, 0.0, 0
    for image in range(len(classes)):
        shifted = logits[image] - logits[image].max(-1, keepdims=True)
        log_shares = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        entropy = -log_shares[np.arange(len(classes[image])), np.maximum(classes[image], 0)]
        positive = classes[image] > 0
        count = max(ratio * positive.sum(), 10)
        hardest = np.sort(entropy[classes[image] == 0])[::-1][: int(count)]
        chosen += entropy[positive].sum() + hardest.sum()
        error = np.abs(deltas[image] - offsets[image])[positive]
        smooth += np.where(error < 1, 0.5 * error**2, error - 0.5).sum()
        positives += int(positive.sum())
    return chosen / max(positives, 1), smooth / max(positives, 1)


@pytest.mark.parametrize("seed", range(4))
def test_multibox_agrees_with_a_slow_version(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, 60, 5))
    deltas, offsets = rng.normal(size=(2, 3, 60, 4))
    classes = rng.choice(
        [-1, 0, 1, 2, 3, 4], p=[0.1, 0.8, 0.025, 0.025, 0.025, 0.025], size=(3, 60)
    )
    classes[2] = np.minimum(classes[2], 0)  # an image without objects
    answer = multibox_loss(*(torch.from_numpy(a) for a in (logits, deltas, classes, offsets)), 3.0)
    expected = reference_multibox(logits, deltas, classes, offsets, 3.0)
    assert [part.item() for part in answer] == pytest.approx(expected)


def test_ignored_boxes_have_no_gradient() -> None:
    logits = torch.zeros(1, 30, 3, requires_grad=True)
    deltas = torch.ones(1, 30, 4, requires_grad=True)
    classes = torch.full((1, 30), -1)
    classes[0, 0] = 1
    sum(multibox_loss(logits, deltas, classes, torch.zeros(1, 30, 4))).backward()
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1:].abs().sum() == 0
    assert deltas.grad[0, 1:].abs().sum() == 0


def test_mask_loss_is_small_only_for_the_right_labels() -> None:
    masks = torch.randint(0, 4, (2, 12, 16), generator=torch.Generator().manual_seed(0))
    right = torch.nn.functional.one_hot(masks, 4).movedim(-1, 1) * 20.0
    assert mask_loss(right, masks).item() < 1e-3
    assert mask_loss(right.roll(1, 1), masks).item() > 5
    # Enlarged by the loss where masks are larger.
    large = masks.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert mask_loss(right, large).item() < mask_loss(right.roll(1, 1), large).item()


def test_unlabelled_pixels_have_no_gradient() -> None:
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    masks = torch.full((1, 4, 4), UNLABELLED)
    masks[0, :2] = 1
    mask_loss(logits, masks).backward()
    assert logits.grad[0, :, 2:].abs().sum() == 0
    assert logits.grad[0, :, :2].abs().sum() > 0


def test_masks_without_labels_cost_nothing() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    masks = torch.full((2, 4, 4), UNLABELLED)
    loss = mask_loss(logits, masks)
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0


def test_entropy_is_that_of_pytorch_and_dice_that_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 6, generator=generator)
    masks = torch.randint(0, 2, (2, 5, 6), generator=generator)
    masks[0, 0] = UNLABELLED
    wanted = torch.nn.functional.cross_entropy(logits, masks, ignore_index=UNLABELLED)
    torch.testing.assert_close(mask_entropy(logits, masks), wanted)
    shares, valid = logits.softmax(1), masks != UNLABELLED
    dice = []
    for label in (0, 1):  # label 2 does not occur
        share, truth = shares[:, label][valid], (masks == label)[valid].float()
        dice.append((2 * (share * truth).sum() + 1) / (share.sum() + truth.sum() + 1))
    torch.testing.assert_close(dice_loss(logits, masks), 1 - sum(dice) / 2)
