"""What was measured, as a tree of names and rounded numbers: the same keys every time."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from cnn_perception.metrics.detection import SIZES, DetectionMetric
from cnn_perception.metrics.figures import known_mean, rounded, rounded_all
from cnn_perception.offboard.evaluation.bundles import ClassifierRun, DetectorRun, Run, SegmenterRun
from cnn_perception.offboard.evaluation.data import EvaluationData

__all__ = ["report"]


def report(run: Run, data: EvaluationData) -> dict[str, Any]:
    """Return everything that was measured; unknown figures are None.

    model, task, data (source, images, classes that one side lacks, broken files), figures; by task
    coco and sizes; classes: figures by label.
    """
    bundle = run.bundle
    tree: dict[str, Any] = {
        "model": bundle.name,
        "version": bundle.version,
        "task": bundle.task,
        "data": {
            "source": data.source,
            "images": run.images,
            "only_in_data": list(data.match.only_data),
            "only_in_bundle": list(data.match.only_model),
            "broken": dict(data.dataset.broken_files),
        },
        "figures": rounded_all(run.metric.figures()),
    }
    if isinstance(run, DetectorRun):
        return tree | _detection(run)
    if isinstance(run, SegmenterRun):
        return tree | _by_class(
            run, pixels=run.metric.pixels(), iou=run.metric.iou(), accuracy=run.metric.accuracy()
        )
    assert isinstance(run, ClassifierRun)
    return tree | _by_class(run, images=run.metric.confusion.sum(1), accuracy=run.metric.accuracy())


def _detection(run: DetectorRun) -> dict[str, Any]:
    metric = run.metric
    precision, recall = metric.coco_ap(), metric.coco_recall()
    classes = _by_class(
        run,
        objects=metric.objects(),
        ap_50=metric.voc_ap(),
        ap_50_2007=metric.voc_ap(eleven_points=True),
        ap_50_95=precision.mean(0),
        ap_75=precision[5],
        ar_100=recall.mean(0),
    )
    return {
        "coco": rounded_all(metric.coco_figures()),
        "sizes": {size: _of_size(metric, size) for size in SIZES},
        **classes,
    }


def _of_size(metric: DetectionMetric, size: str) -> dict[str, Any]:
    precision, recall = metric.coco_ap(size), metric.coco_recall(size)
    figures = {
        "map_50": known_mean(precision[0]),
        "map_50_95": known_mean(precision),
        "ar_100": known_mean(recall),
    }
    return {"objects": int(metric.objects(size).sum()), **rounded_all(figures)}


def _by_class(run: Run, **columns: NDArray[Any]) -> dict[str, Any]:
    """Return whole numbers and rounded figures by label."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return {
        "classes": {
            label: {
                name: value if isinstance(value, int) else rounded(value)
                for name, value in zip(columns, row, strict=True)
            }
            for label, row in zip(run.bundle.labels, rows, strict=True)
        }
    }
