from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.metrics.average_precision import (
    all_point_ap,
    eleven_point_ap,
    precision_recall,
)
from cnn_perception.metrics.detection import COCO_IOUS, SIZES, DetectionMetric
from cnn_perception.metrics.matching import FALSE, HIT, NOT_COUNTED, box_areas, match_voc
from cnn_perception.types import Detections

CLASSES = 3

CocoImage = tuple[Detections, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""What was found, and boxes, classes, difficult, crowd and areas of the objects."""


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


def reference_voc_ap(images: list, class_id: int, iou: float, eleven_points: bool) -> float:
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
    if eleven_points:
        reached = [
            max((precision for recall, precision in points if recall >= least), default=0.0)
            for least in np.linspace(0, 1, 11)
        ]
        return sum(reached) / 11
    area = last = 0.0
    for k, (recall, _) in enumerate(points):
        area += (recall - last) * max(precision for _, precision in points[k:])
        last = recall
    return area


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_voc_agrees_with_the_development_kit(seed: int, iou: float) -> None:
    images = random_images(seed, 12)
    metric = DetectionMetric(CLASSES, voc_iou=iou)
    for image in images:
        metric.update(*image)
    for few in (False, True):
        expected = [reference_voc_ap(images, class_id, iou, few) for class_id in range(CLASSES)]
        np.testing.assert_allclose(metric.voc_ap(eleven_points=few), expected, atol=1e-12)
    assert metric.objects().sum() == sum(int((~image[3]).sum()) for image in images)


def reference_coco(images: list[CocoImage], classes: int) -> list[float]:
    """The twelve figures of pycocotools; its -1 is NaN."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is an extra: [train]")
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for index, (found, boxes, ids, difficult, crowd, areas) in enumerate(images):
        for k, box in enumerate(boxes.astype(float)):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": int(ids[k]),
                    "bbox": [*box[:2], *(box[2:] - box[:2])],
                    "area": float(areas[k]),
                    "iscrowd": int(crowd[k]),
                    "ignore": int(crowd[k] or difficult[k]),
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
            "categories": [{"id": class_id} for class_id in range(classes)],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        np.testing.assert_array_equal(evaluation.params.iouThrs, COCO_IOUS)
        _keep_ignored(evaluation)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float("nan") if value == -1 else float(value) for value in evaluation.stats]


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


def random_coco_image(rng: np.random.Generator) -> CocoImage:
    """Objects of all sizes, some difficult, some crowds; detections near them, or anywhere.

    Half of the images are on whole pixels, with scores of two digits: overlaps that are exactly a
    threshold, areas that are exactly a limit, equal overlaps and equal scores.
    """
    exact = rng.random() < 0.5
    objects = int(rng.integers(0, 9)) if rng.random() > 0.15 else 0
    corner = rng.uniform(0, 150, (objects, 2))
    side = rng.choice([16.0, 32.0, 60.0, 96.0, 140.0], (objects, 2)) * rng.choice(
        [1.0, 1.0, rng.uniform(0.5, 1.5)], (objects, 1)
    )
    boxes = np.concatenate([corner, corner + side], 1)
    ids = rng.integers(0, CLASSES, objects)
    crowd = rng.random(objects) < 0.15
    copies = np.repeat(np.arange(objects), rng.integers(0, 4, objects))
    moved = boxes[copies] + rng.normal(0, rng.choice([0.5, 4, 12]), (len(copies), 4))
    wild = rng.uniform(0, 160, (int(rng.integers(0, 5)), 2))
    places = np.concatenate([moved, np.concatenate([wild, wild + rng.uniform(5, 120)], 1)])
    places[:, 2:] = np.maximum(places[:, 2:], places[:, :2] + 1)
    found_ids = np.concatenate([ids[copies], rng.integers(0, CLASSES, len(wild))])
    if rng.random() < 0.03:  # more than COCO looks at
        places, found_ids = np.tile(places, (30, 1)), np.tile(found_ids, 30)
    scores = rng.random(len(places))
    if exact:
        boxes, places, scores = boxes.round(), places.round(), scores.round(2)
    boxes = boxes.astype(np.float32)
    share = rng.choice([1.0, rng.uniform(0.3, 1)], objects)
    return (
        detections(places.tolist(), scores.tolist(), found_ids.tolist()),
        boxes,
        ids,
        rng.random(objects) < 0.15,
        crowd,
        box_areas(boxes) * share,
    )


@pytest.mark.parametrize("seed", range(40))
def test_all_figures_of_coco_agree_with_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [random_coco_image(rng) for _ in range(int(rng.integers(1, 25)))]
    images.append((detections([[0, 0, 9, 9]], [0.5], [0]), *random_coco_image(rng)[1:]))
    metric = DetectionMetric(CLASSES)
    for image in images:
        metric.update(*image)
    figures = metric.coco_figures()
    assert list(figures) == [
        *("ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large"),
        *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
    ]
    expected = reference_coco(images, CLASSES)
    np.testing.assert_allclose(list(figures.values()), expected, rtol=0, atol=1e-12)
    headline = metric.figures()
    assert headline["map_50"] == metric.map_50()
    assert headline["map_50_95"] == metric.map_50_95() == figures["ap"] or np.isnan(figures["ap"])


def test_any_number_of_detections_may_lie_in_a_crowd() -> None:
    crowd = np.array([[0, 0, 100, 100], [200, 0, 220, 20]], np.float32)
    inside = [[k, k, k + 20.0, k + 20.0] for k in range(0, 60, 10)]
    found = detections([*inside, [200, 0, 220, 20]], [0.9] * 6 + [0.5], [0] * 7)
    flags = np.array([True, False])
    metric = DetectionMetric(1)
    metric.update(found, crowd, np.array([0, 0]), np.array([False, False]), flags)
    assert metric.voc_ap().tolist() == [1.0] and metric.coco_ap().tolist() == [[1.0]] * 10
    assert metric.objects().tolist() == [1]
    plain = DetectionMetric(1)
    plain.update(found, crowd, np.array([0, 0]), flags)
    assert plain.voc_ap()[0] < 0.2 and plain.coco_ap().max() < 0.2


def test_size_of_an_object_is_that_of_its_outline() -> None:
    box = np.array([[0, 0, 40, 40]], np.float32)
    found = detections(box.tolist(), [0.9], [0])
    metric = DetectionMetric(1)
    metric.update(found, box, np.array([0]), np.array([False]), areas=np.array([500.0]))
    assert [int(metric.objects(size)[0]) for size in SIZES] == [1, 1, 0, 0]
    figures = metric.coco_figures()
    assert figures["ap_small"] == 1.0 and np.isnan(figures["ap_medium"])


def test_second_detection_of_an_object_is_false() -> None:
    iou, no = np.array([[0.9], [0.8]]), np.array([False])
    assert match_voc(iou, no, no, 0.5).tolist() == [HIT, FALSE]
    assert match_voc(iou, ~no, no, 0.5).tolist() == [NOT_COUNTED, NOT_COUNTED]


def test_area_under_the_envelope_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    curve = precision_recall(scores, np.array([1, 0, 1, 1], np.int8), 4)
    np.testing.assert_allclose(curve.recall, [0.25, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 3 / 4])
    # Recall 1/4 at precision 1, then 2/4 and 3/4 at 3/4, and the last object is never found.
    assert all_point_ap(curve) == pytest.approx(0.25 + 0.5 * 0.75)
    assert eleven_point_ap(curve) == pytest.approx((3 * 1 + 5 * 0.75) / 11)


def test_curve_of_each_class() -> None:
    metric = DetectionMetric(2)
    box = [0.0, 0.0, 10.0, 10.0]
    truth = (np.array([box], np.float32), np.array([1]), np.array([False]))
    metric.update(detections([box, box, [50, 0, 60, 10]], [0.6, 0.7, 0.9], [0, 1, 1]), *truth)
    absent, present = metric.curves()
    assert len(absent.scores) == len(absent.recall) == 0
    assert present.scores.tolist() == pytest.approx([0.9, 0.7])
    assert present.recall.tolist() == [0, 1] and present.precision.tolist() == [0, 0.5]


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


def test_figures_follow_later_images() -> None:
    box = [0.0, 0.0, 10.0, 10.0]
    truth = (np.array([box], np.float32), np.array([0]), np.array([False]))
    metric = DetectionMetric(1)
    metric.update(detections([box], [0.9], [0]), *truth)
    assert metric.map_50() == 1.0
    metric.update(Detections.empty(), *truth)
    assert metric.map_50() == 0.5 and metric.objects().tolist() == [2]


def test_class_without_name_is_refused() -> None:
    metric = DetectionMetric(2)
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool))
    with pytest.raises(ConfigError, match="found classes"):
        metric.update(detections([[0, 0, 1, 1]], [0.5], [2]), *nothing)
