"""Suppression: by hand, against an obvious slow version, and against torchvision."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.detection.detector import NMS_FILE, batched_nms
from cnn_perception.formats.format import rank
from cnn_perception.types import Float32Array


def _scene(seed: int, count: int, classes: int) -> tuple[Float32Array, Float32Array, np.ndarray]:
    """Clustered boxes with coarse scores, so that overlaps and ties are frequent."""
    rng = np.random.default_rng(seed)
    centers = rng.integers(0, 6, (count, 2)) * 20 + rng.normal(0, 4, (count, 2))
    sizes = rng.uniform(0, 30, (count, 2))
    boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1).astype(np.float32)
    for axis in (0, 1):
        flat = rng.random(count) < 0.05
        boxes[flat, 2 + axis] = boxes[flat, axis]
    twins = rng.integers(0, count, count // 10)
    boxes[twins] = boxes[rng.permutation(twins)]
    scores = (rng.integers(0, 50, count) / 50).astype(np.float32)
    return boxes, scores, rng.integers(0, classes, count).astype(np.int32)


def _slow_nms(
    boxes: Float32Array, scores: Float32Array, class_ids: np.ndarray, threshold: float
) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        for j in kept:
            if class_ids[i] != class_ids[j]:
                continue
            a, b = boxes[i], boxes[j]
            width = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]))
            height = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]))
            shared = width * height
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            if union != 0 and float(shared / union) > threshold:
                break
        else:
            kept.append(i)
    return kept


def test_no_boxes() -> None:
    empty = np.zeros((0, 4), np.float32)
    kept = batched_nms(empty, np.zeros(0, np.float32), np.zeros(0, np.int32), 0.5)
    assert kept.tolist() == []


def test_classes_do_not_suppress_each_other() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3, np.float32)
    scores = np.array([0.5, 0.9, 0.7], np.float32)
    kept = batched_nms(boxes, scores, np.array([0, 0, 1]), 0.5)
    assert kept.tolist() == [1, 2]


def test_a_dropped_box_drops_nothing() -> None:
    # b overlaps a and c; a and c do not overlap enough. a drops b, so c stays.
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    kept = batched_nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int32), 0.3)
    assert kept.tolist() == [0, 2]


def test_overlap_equal_to_the_threshold_is_kept() -> None:
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], np.float32)  # IoU exactly 0.5
    scores = np.array([0.9, 0.8], np.float32)
    assert len(batched_nms(boxes, scores, np.zeros(2, np.int32), 0.5)) == 2
    assert len(batched_nms(boxes, scores, np.zeros(2, np.int32), 0.49999)) == 1


def test_an_overlap_of_float32_is_compared_with_the_exact_threshold() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 3, 10]], np.float32)
    overlap = np.float32(30) / np.float32(100)
    assert float(overlap) > 0.3
    scores = np.array([0.9, 0.8], np.float32)
    assert len(batched_nms(boxes, scores, np.zeros(2, np.int32), 0.3)) == 1
    assert len(batched_nms(boxes, scores, np.zeros(2, np.int32), float(overlap))) == 2


def test_the_first_of_equal_scores_wins() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 5, np.float32)
    assert batched_nms(boxes, np.full(5, 0.5, np.float32), np.zeros(5, np.int32), 0.5).tolist() == [
        0
    ]
    assert rank(np.full(5, 0.5, np.float32)).tolist() == [0, 1, 2, 3, 4]


def test_boxes_without_area_do_not_disturb() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert batched_nms(boxes, scores, np.zeros(3, np.int32), 0.1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_slow_version(seed: int, threshold: float) -> None:
    boxes, scores, class_ids = _scene(seed, 300, 3)
    kept = batched_nms(boxes, scores, class_ids, threshold)
    assert kept.tolist() == _slow_nms(boxes, scores, class_ids, threshold)


@pytest.mark.parametrize("most", [0, 1, 10, 1000])
def test_the_best_are_kept_where_there_are_too_many(most: int) -> None:
    boxes, scores, class_ids = _scene(9, 200, 2)
    whole = batched_nms(boxes, scores, class_ids, 0.4)
    assert len(whole) > 10
    kept = batched_nms(boxes, scores, class_ids, 0.4, most)
    np.testing.assert_array_equal(kept, whole[:most])


def test_classes_may_be_many_and_scores_any() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 4, np.float32)
    scores = np.array([-3.0, 0.0, 1e9, -1e-9], np.float32)
    assert batched_nms(boxes, scores, np.array([70000, 2, 5, 2]), 0.5).tolist() == [2, 1, 0]


def test_the_file_is_the_operator_and_nothing_else() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is an extra: [train]")
    helper, number = onnx.helper, onnx.TensorProto
    one = [("most", number.INT64), ("iou_threshold", number.FLOAT)]
    inputs = [
        helper.make_tensor_value_info("boxes", number.FLOAT, [1, "N", 4]),
        helper.make_tensor_value_info("scores", number.FLOAT, [1, "C", "N"]),
        *(
            helper.make_tensor_value_info(name, dtype, [1])
            for name, dtype in [*one, ("score_threshold", number.FLOAT)]
        ),
    ]
    output = helper.make_tensor_value_info("kept", number.INT64, ["K", 3])
    node = helper.make_node("NonMaxSuppression", [value.name for value in inputs], ["kept"])
    graph = helper.make_graph([node], "nms", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    assert onnx.load(NMS_FILE) == model


@pytest.mark.parametrize("threshold", [0.3, 0.45, 0.55])
@pytest.mark.parametrize("count", [1, 50, 1500])
def test_equal_to_torchvision(count: int, threshold: float) -> None:
    torch = pytest.importorskip("torch")
    boxes_module = pytest.importorskip("torchvision.ops.boxes")
    boxes, scores, class_ids = _scene(count, count, 4)
    # Its other route, boxes moved apart by class, rounds the coordinates.
    theirs = boxes_module._batched_nms_vanilla(
        torch.tensor(boxes), torch.tensor(scores), torch.tensor(class_ids), threshold
    ).numpy()
    ours = batched_nms(boxes, scores, class_ids, threshold)
    assert set(ours.tolist()) == set(theirs.tolist())
    np.testing.assert_array_equal(scores[ours], scores[theirs])
