from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.metrics.segmentation import SegmentationMetric


def measured(predicted: object, truth: object, labels: int) -> SegmentationMetric:
    metric = SegmentationMetric(labels)
    metric.update(np.asarray(predicted), np.asarray(truth))
    return metric


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_torchmetrics(seed: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    theirs = pytest.importorskip("torchmetrics.classification", reason="needs torchmetrics")
    rng = np.random.default_rng(seed)
    labels = int(rng.integers(2, 8))
    share = rng.dirichlet(np.full(labels, 0.7))
    truth = rng.choice(labels, (4, 20, 30), p=share).astype(np.uint8)
    answer = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, labels, truth.shape))
    truth[rng.random(truth.shape) < 0.1] = 255
    ours = SegmentationMetric(labels)
    for found, wanted in zip(answer, truth, strict=True):
        ours.update(found, wanted)

    def figure(kind: str, **options: object) -> np.ndarray:
        metric = getattr(theirs, f"Multiclass{kind}")(
            num_classes=labels, ignore_index=255, validate_args=False, **options
        )
        for found, wanted in zip(answer, truth, strict=True):
            metric.update(torch.tensor(found.astype(int)), torch.tensor(wanted.astype(int)))
        return metric.compute().numpy()

    close = {"rtol": 1e-6, "atol": 1e-6}
    present = ours.pixels() > 0
    np.testing.assert_array_equal(ours.confusion, figure("ConfusionMatrix"))
    np.testing.assert_allclose(ours.mean_iou(), figure("JaccardIndex"), **close)
    np.testing.assert_allclose(
        ours.frequency_weighted_iou(), figure("JaccardIndex", average="weighted"), **close
    )
    np.testing.assert_allclose(
        ours.iou()[present], figure("JaccardIndex", average=None)[present], **close
    )
    np.testing.assert_allclose(ours.pixel_accuracy(), figure("Accuracy", average="micro"), **close)
    by_class = figure("Accuracy", average=None)
    np.testing.assert_allclose(ours.accuracy()[present], by_class[present], **close)
    # torchmetrics counts labels that are only answered as 0; the published mean is over the truth.
    np.testing.assert_allclose(ours.mean_accuracy(), by_class[present].mean(), **close)
    assert list(ours.figures().values()) == [
        ours.mean_iou(),
        ours.mean_accuracy(),
        ours.pixel_accuracy(),
        ours.frequency_weighted_iou(),
    ]


def test_agrees_with_sets_of_pixels_counted_one_by_one() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 5, (4, 20, 30)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    predicted = rng.integers(0, 6, truth.shape).astype(np.uint8)
    metric = SegmentationMetric(6)
    for wanted, found in zip(truth, predicted, strict=True):
        metric.update(found, wanted)
    valid = truth != 255
    for label in range(6):
        inner = int((valid & (truth == label) & (predicted == label)).sum())
        outer = int((valid & ((truth == label) | (predicted == label))).sum())
        assert metric.iou()[label] == pytest.approx(inner / outer)
    assert metric.pixel_accuracy() == pytest.approx((truth == predicted)[valid].mean())
    assert metric.pixels().sum() == valid.sum()


def test_label_that_never_occurs_does_not_lower_the_means() -> None:
    metric = measured([0, 1], [0, 1], 4)
    assert np.isnan(metric.iou()[2:]).all()
    assert set(metric.figures().values()) == {1.0}


def test_label_that_is_only_predicted_counts_as_zero() -> None:
    metric = measured([0, 2], [0, 0], 3)
    assert metric.iou()[2] == 0.0
    assert metric.mean_iou() == pytest.approx(0.25)
    assert metric.mean_accuracy() == metric.frequency_weighted_iou() == pytest.approx(0.5)


def test_nothing_counted_is_not_a_number() -> None:
    assert np.isnan(list(measured([1], [255], 3).figures().values())).all()


def test_label_that_the_truth_cannot_have_has_no_iou() -> None:
    metric = SegmentationMetric(3, known=np.array([True, True, False]))
    metric.update(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 255]))
    assert metric.iou()[:2].tolist() == [1.0, 0.5] and np.isnan(metric.iou()[2])
    assert metric.mean_iou() == 0.75 and metric.pixel_accuracy() == pytest.approx(2 / 3)
