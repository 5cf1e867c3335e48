from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.metrics.detection import DetectionMetric, all_point_ap, match_voc
from cnn_perception.types import Detections

CLASSES = 3


def detections(boxes: list[list[float]], scores: list[float], ids: list[int]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(ids, np.int32),
    )


def random_images(seed: int, count: int) -> list[tuple[Detections, np.ndarray, ...]]:
    """Objects, and detections that are shifted objects or nonsense, with scores all different."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        objects = int(rng.integers(0, 7))
        corner = rng.uniform(0, 80, (objects, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (objects, 2))], 1)
        classes = rng.integers(0, CLASSES, objects)
        copies = np.repeat(np.arange(objects), rng.integers(0, 3, objects))
        found = boxes[copies] + rng.normal(0, 4, (len(copies), 4))
        ids = classes[copies]
        wild = rng.uniform(0, 60, (int(rng.integers(0, 4)), 2))
        found = np.concatenate([found, np.concatenate([wild, wild + 20], 1)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        ids = np.concatenate([ids, rng.integers(0, CLASSES, len(wild))])
        images.append(
            (
                detections(found.tolist(), rng.random(len(ids)).tolist(), ids.tolist()),
                boxes.astype(np.float32),
                classes,
                rng.random(objects) < 0.25,
            )
        )
    return images


def reference_voc_ap(images: list, class_id: int, iou: float) -> float:
    """The VOC development kit's evaluation, written as its loops are."""
    ranked = []
    objects = 0
    for index, (found, _, classes, difficult) in enumerate(images):
        objects += int(((classes == class_id) & ~difficult).sum())
        ranked += [
            (float(found.scores[k]), index, found.boxes[k].astype(float))
            for k in np.flatnonzero(found.class_ids == class_id)
        ]
    if objects == 0:
        return float("nan")
    ranked.sort(key=lambda entry: -entry[0])
    taken: set[tuple[int, int]] = set()
    hits = misses = 0
    points = []
    for _, index, box in ranked:
        _, boxes, classes, difficult = images[index]
        best, best_overlap = -1, 0.0
        for j in np.flatnonzero(classes == class_id):
            other = boxes[j].astype(float)
            width = min(box[2], other[2]) - max(box[0], other[0])
            height = min(box[3], other[3]) - max(box[1], other[1])
            if width > 0 and height > 0:
                inner = width * height
                areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
                overlap = inner / (sum(areas) - inner)
                if overlap > best_overlap:
                    best, best_overlap = int(j), overlap
        if best >= 0 and best_overlap >= iou:
            if difficult[best]:
                continue
            if (index, best) in taken:
                misses += 1
            else:
                taken.add((index, best))
                hits += 1
        else:
            misses += 1
        points.append((hits / objects, hits / (hits + misses)))
    area = last = 0.0
    for k, (recall, _) in enumerate(points):
        area += (recall - last) * max(precision for _, precision in points[k:])
        last = recall
    return area


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_voc_agrees_with_the_development_kit(seed: int, iou: float) -> None:
    images = random_images(seed, 12)
    metric = DetectionMetric(CLASSES)
    for image in images:
        metric.update(*image)
    expected = [reference_voc_ap(images, class_id, iou) for class_id in range(CLASSES)]
    np.testing.assert_allclose(metric.voc_ap(iou), expected, atol=1e-9)
    assert metric.objects().sum() == sum(int((~image[3]).sum()) for image in images)


@pytest.mark.parametrize("seed", range(4))
def test_coco_agrees_with_pycocotools(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is an extra: [train]")
    from pycocotools.cocoeval import COCOeval

    images = random_images(100 + seed, 15)
    metric = DetectionMetric(CLASSES)
    annotations, results = [], []
    for index, (found, boxes, classes, difficult) in enumerate(images):
        metric.update(found, boxes, classes, difficult)
        for box, class_id, hard in zip(boxes.astype(float), classes, difficult, strict=True):
            size = box[2:] - box[:2]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": int(class_id),
                    "bbox": [*box[:2], *size],
                    "area": float(size.prod()),
                    "iscrowd": 0,
                    "ignore": int(hard),
                }
            )
        for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
            corner = box.astype(float)
            results.append(
                {
                    "image_id": index,
                    "category_id": int(class_id),
                    "bbox": [*corner[:2], *(corner[2:] - corner[:2])],
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": index} for index in range(len(images))],
            "categories": [{"id": class_id} for class_id in range(CLASSES)],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        _keep_ignored(evaluation)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    expected = np.where((precision > -1).any(1), precision.mean(1), np.nan)
    np.testing.assert_allclose(metric.coco_ap(), expected, atol=1e-9)


def _keep_ignored(evaluation: object) -> None:
    """Let pycocotools honour "ignore", which its _prepare overwrites with iscrowd."""
    prepare = evaluation._prepare  # type: ignore[attr-defined]

    def prepared() -> None:
        flags = {a["id"]: a["ignore"] for a in evaluation.cocoGt.anns.values()}  # type: ignore[attr-defined]
        prepare()
        for objects in evaluation._gts.values():  # type: ignore[attr-defined]
            for entry in objects:
                entry["ignore"] = flags[entry["id"]]

    evaluation._prepare = prepared  # type: ignore[attr-defined]


def test_second_detection_of_an_object_is_false() -> None:
    iou = np.array([[0.9], [0.8]])
    assert match_voc(iou, np.array([False]), 0.5).tolist() == [1, 0]
    assert match_voc(iou, np.array([True]), 0.5).tolist() == [-1, -1]


def test_area_under_the_envelope_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    verdicts = np.array([1, 0, 1, 1], np.int8)
    # Recall 1/4 at precision 1, then 2/4 and 3/4 at 3/4, and the last object is never found.
    assert all_point_ap(scores, verdicts, 4) == pytest.approx(0.25 + 0.5 * 0.75)


def test_missed_class_is_zero_and_absent_class_is_unknown() -> None:
    metric = DetectionMetric(2)
    metric.update(
        Detections.empty(), np.array([[0, 0, 5, 5]], np.float32), np.array([0]), np.array([False])
    )
    assert metric.voc_ap()[0] == 0.0
    assert np.isnan(metric.voc_ap()[1])
    assert metric.map_50() == 0.0


def test_nothing_at_all_is_not_a_number() -> None:
    assert np.isnan(DetectionMetric(2).map_50())
    assert np.isnan(DetectionMetric(2).map_50_95())


def test_only_the_best_detections_count() -> None:
    metric = DetectionMetric(1, max_detections=1)
    box = [0.0, 0.0, 10.0, 10.0]
    far = [50.0, 50.0, 60.0, 60.0]
    truth = (np.array([box, far], np.float32), np.array([0, 0]), np.array([False, False]))
    metric.update(detections([far, box], [0.1, 0.9], [0, 0]), *truth)
    assert metric.voc_ap()[0] == pytest.approx(0.5)


def test_class_without_name_is_refused() -> None:
    metric = DetectionMetric(2)
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool))
    with pytest.raises(ConfigError, match="found classes"):
        metric.update(detections([[0, 0, 1, 1]], [0.5], [2]), *nothing)
