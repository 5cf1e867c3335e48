from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.metrics.classification import ClassificationMetric


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_torchmetrics(seed: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    theirs = pytest.importorskip("torchmetrics.classification", reason="needs torchmetrics")
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(6, 30))
    truth = rng.integers(0, classes - 1, 200)
    scores = rng.normal(size=(200, classes)).astype(np.float32)
    scores[np.arange(200), truth] += 1
    ours = ClassificationMetric(classes)
    for part in np.split(np.arange(200), [1, 60]):
        ours.update(scores[part], truth[part])

    def figure(kind: str, **options: object) -> np.ndarray:
        metric = getattr(theirs, f"Multiclass{kind}")(num_classes=classes, **options)
        metric.update(torch.tensor(scores), torch.tensor(truth))
        return metric.compute().numpy()

    close = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_array_equal(ours.confusion, figure("ConfusionMatrix"))
    np.testing.assert_allclose(ours.top_1(), figure("Accuracy", average="micro"), **close)
    np.testing.assert_allclose(ours.top_5(), figure("Accuracy", average="micro", top_k=5), **close)
    np.testing.assert_allclose(ours.accuracy()[:-1], figure("Accuracy", average=None)[:-1], **close)
    assert np.isnan(ours.accuracy()[-1])
    assert ours.figures() == {"top_1": ours.top_1(), "top_5": ours.top_5()}


def test_fifth_answer_is_among_the_best_five() -> None:
    metric = ClassificationMetric(7)
    metric.update(np.array([[7, 6, 5, 4, 3, 2, 1]], np.float32), np.array([4]))
    assert metric.figures() == {"top_1": 0.0, "top_5": 1.0}
    metric.update(np.array([[7, 6, 5, 4, 3, 2, 1]], np.float32), np.array([5]))
    assert metric.figures() == {"top_1": 0.0, "top_5": 0.5}


def test_of_equal_scores_the_lower_class_is_the_answer() -> None:
    metric = ClassificationMetric(7)
    metric.update(np.zeros((2, 7), np.float32), np.array([0, 5]))
    assert metric.figures() == {"top_1": 0.5, "top_5": 0.5}


def test_nothing_counted_is_not_a_number() -> None:
    assert np.isnan(list(ClassificationMetric(3).figures().values())).all()


@pytest.mark.parametrize(
    ("scores", "truth", "text"),
    [
        (np.zeros((2, 4)), np.zeros(2, int), r"shape \(2, 4\): expected \(2, 3\)"),
        (np.zeros((2, 3)), np.zeros(1, int), r"shape \(2, 3\): expected \(1, 3\)"),
        (np.zeros((1, 3)), np.array([3]), "the truth has label 3"),
    ],
)
def test_what_does_not_fit_is_refused(scores: np.ndarray, truth: np.ndarray, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ClassificationMetric(3).update(scores.astype(np.float32), truth)
