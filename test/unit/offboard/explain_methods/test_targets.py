"""What is explained of class logits, masks and a detector's answer."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.targets import BoxClasses, best_class, class_target  # noqa: E402
from cnn_perception.offboard.networks.rooms import RoomsOutputs  # noqa: E402
from cnn_perception.offboard.networks.ssdlite import SsdOutputs  # noqa: E402

LOGITS = torch.tensor([[1.0, 4.0, 2.0], [0.0, -1.0, 5.0]])


def test_class_logits() -> None:
    assert class_target(2)(LOGITS).tolist() == [2.0, 5.0]
    class_id, score = best_class(LOGITS[:1])
    assert class_id == 1
    assert score == pytest.approx(float(LOGITS[0].softmax(0)[1]))
    assert best_class(LOGITS[:1], 0)[1] == pytest.approx(float(LOGITS[0].softmax(0)[0]))


def test_a_detector_speaks_at_the_box_that_is_surest() -> None:
    # Box 1 has the larger logit for class 0, but box 0 is surer, as it sees no background.
    logits = torch.tensor([[[0.0, 3.0, 0.0], [9.0, 5.0, 0.0]]])
    boxes = SsdOutputs(logits, torch.zeros(1, 2, 4), ())
    for answer in (boxes, RoomsOutputs(boxes, torch.zeros(1, 3, 4, 4))):
        assert class_target(0)(answer).tolist() == [3.0]
        class_id, score = best_class(answer)
        assert (class_id, score) == (0, pytest.approx(float(logits[0, 0].softmax(0)[1])))
    with pytest.raises(ConfigError, match="target = 2 is no class: give one of 0 to 1"):
        class_target(2)(boxes)


def test_other_detectors_speak_by_what_stands_for_the_class() -> None:
    values, scores = torch.tensor([[[3.0], [-2.0]]]), torch.tensor([[[0.2], [0.7]]])
    answer = BoxClasses(values, scores)
    assert class_target(0)(answer).tolist() == [-2.0]
    assert best_class(answer) == (0, pytest.approx(0.7))


def test_masks_speak_over_the_region_of_the_class() -> None:
    logits = torch.tensor([[[[1.0, 5.0]], [[2.0, 3.0]]]])
    assert class_target(1)(logits).tolist() == [2.0]
    assert best_class(torch.cat([logits, logits[..., :1]], 3)) == (1, pytest.approx(2 / 3))


@pytest.mark.parametrize("class_id", [-1, 3])
def test_a_class_that_there_is_not(class_id: int) -> None:
    with pytest.raises(ConfigError, match=f"target = {class_id} is no class: give one of 0 to 2"):
        class_target(class_id)(LOGITS)
    with pytest.raises(ConfigError, match=f"target = {class_id} is no class"):
        best_class(LOGITS, class_id)


@pytest.mark.parametrize("answer", [{"out": LOGITS}, LOGITS[0]])
def test_other_answers_are_refused(answer: object) -> None:
    with pytest.raises(ConfigError, match="the network answers with"):
        class_target(0)(answer)
