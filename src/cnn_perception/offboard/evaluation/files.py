"""An evaluation as files: figures, curves, charts, and pictures of the worst images."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.offboard.evaluation.bundles import ClassifierRun, DetectorRun, SegmenterRun
from cnn_perception.offboard.evaluation.charts import confusion_chart, precision_recall_chart
from cnn_perception.offboard.evaluation.evaluate import Evaluation
from cnn_perception.offboard.evaluation.pictures import draw_mistakes

__all__ = ["write_evaluation"]

_PICTURE = re.compile(r"\.(jpe?g|png)$", re.IGNORECASE)


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write everything into a folder, which is made, and return the files.

    metrics.json; precision_recall.png and .csv (detection) or confusion.png and .csv; worst.json
    and the pictures worst/01_NAME.jpg ... that it lists.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = evaluation.run
    text = json.dumps(evaluation.report, indent=1)
    (folder / "metrics.json").write_text(f"{text}\n", encoding="utf-8")
    if isinstance(run, DetectorRun):
        made = _write_curves(run, folder)
    else:
        assert isinstance(run, SegmenterRun | ClassifierRun)
        made = _write_confusion(run, folder)
    return [folder / "metrics.json", *made, *_write_worst(evaluation, folder)]


def _write_curves(run: DetectorRun, folder: Path) -> list[Path]:
    """Write the curves of classes with objects: a row for each object that is found."""
    shown = np.flatnonzero(run.metric.objects())
    every = run.metric.curves()
    labels = run.bundle.labels
    curves = {labels[k]: every[k] for k in shown}
    rows = [
        (label, f"{curve.scores[k]:.6g}", f"{curve.recall[k]:.6g}", f"{curve.precision[k]:.6g}")
        for label, curve in curves.items()
        for k in np.flatnonzero(np.diff(curve.recall, prepend=0.0) > 0)
    ]
    target = folder / "precision_recall.csv"
    _write_csv(target, ("class", "score", "recall", "precision"), rows)
    if not curves:
        return [target]
    colors = None if run.bundle.palette is None else run.bundle.palette[shown]
    title = f"{run.bundle.name}: precision over recall at IoU {run.metric.voc_iou:g}"
    chart = folder / "precision_recall.png"
    chart.write_bytes(encode_png(precision_recall_chart(curves, title, colors), level=9))
    return [target, chart]


def _write_confusion(run: SegmenterRun | ClassifierRun, folder: Path) -> list[Path]:
    """Write the matrix; truth by row, answers by column."""
    target, chart = folder / "confusion.csv", folder / "confusion.png"
    confusion, labels = run.metric.confusion, run.bundle.labels
    rows = ((label, *row) for label, row in zip(labels, confusion.tolist(), strict=True))
    _write_csv(target, ("truth", *labels), rows)
    what = "pixels" if isinstance(run, SegmenterRun) else "images"
    title = f"{run.bundle.name}: {what} by truth and answer"
    chart.write_bytes(encode_png(confusion_chart(confusion, labels, title), level=9))
    return [target, chart]


def _write_worst(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write the pictures, and worst.json with what is wrong in each."""
    bundle = evaluation.run.bundle
    entries: list[dict[str, Any]] = []
    for old in (folder / "worst").glob("[0-9][0-9]_*.jpg"):
        old.unlink()
    for rank, (image, mistakes) in enumerate(evaluation.worst.ranked(), start=1):
        stem = re.sub(r"\W+", "_", _PICTURE.sub("", image.name)).strip("_")
        picture = folder / "worst" / f"{rank:02d}_{stem[-60:]}.jpg"
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(encode_jpeg(draw_mistakes(bundle, image, mistakes)))
        entries.append(
            {
                "image": image.name,
                "picture": picture.relative_to(folder).as_posix(),
                "badness": round(mistakes.badness, 4),
                **mistakes.record(bundle.labels),
            }
        )
    text = json.dumps(entries, indent=1)
    (folder / "worst.json").write_text(f"{text}\n", encoding="utf-8")
    return [folder / "worst.json", *(folder / entry["picture"] for entry in entries)]


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
