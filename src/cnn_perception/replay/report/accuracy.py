"""The accuracy of a replay as the page shows it: figures, curves, classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cnn_perception.html.plot import Plot, line_plot
from cnn_perception.metrics.average_precision import PrecisionRecall
from cnn_perception.replay.report.colors import LabelColors

__all__ = ["AccuracyPage", "HasCurves", "accuracy_page"]

_FIGURES = {
    "map_50": "mAP at IoU 0.5",
    "map_50_95": "mAP at IoU 0.5 to 0.95",
    "miou": "mIoU of masks",
    "map_precision": "precision of the map",
    "map_recall": "recall of the map",
}
_TABLES = ("ap", "iou")
_KINDS = {"mask": "a mask"}
_ALONE = {"truth_alone": "have truth alone", "answer_alone": "have no truth"}
_RECALLS = np.linspace(0.0, 1.0, 101)


class HasCurves(Protocol):
    """Something that has precision over recall at an overlap of 0.5, by label."""

    def curves(self) -> Mapping[str, PrecisionRecall]:
        """Return the curves of classes with objects."""
        ...


@dataclass(frozen=True, slots=True)
class AccuracyPage:
    """figures: (name, value); rows: label, color, ap, iou of each class; notes: all else."""

    figures: list[tuple[str, str]]
    plot: Plot | None
    rows: list[dict[str, Any]]
    notes: list[str]

    @property
    def has_ap(self) -> bool:
        """True when some class has an average precision."""
        return any(row["ap"] is not None for row in self.rows)

    @property
    def has_iou(self) -> bool:
        """True when some class has an IoU."""
        return any(row["iou"] is not None for row in self.rows)


def accuracy_page(
    measured: Mapping[str, Any], curves: HasCurves | None, colors: LabelColors
) -> AccuracyPage:
    """Return what the page shows of metrics.json's "accuracy", and of curves if they are there."""
    ap, iou = (measured.get(name) or {} for name in _TABLES)
    rows = [
        {"label": label, "color": colors.css(label), "ap": ap.get(label), "iou": iou.get(label)}
        for label in dict.fromkeys([*ap, *iou])
        if ap.get(label) is not None or iou.get(label) is not None
    ]
    rows.sort(key=lambda row: -max(row["ap"] or 0.0, row["iou"] or 0.0) if not ap else 0.0)
    return AccuracyPage(
        [
            (name, f"{measured[key]:.3f}")
            for key, name in _FIGURES.items()
            if measured.get(key) is not None
        ],
        _plot(curves.curves(), colors) if curves is not None else None,
        rows,
        list(_notes(measured)),
    )


def _plot(curves: Mapping[str, PrecisionRecall], colors: LabelColors) -> Plot | None:
    series = {}
    for label, curve in curves.items():
        if len(curve.recall):
            reached = _RECALLS[curve.recall[-1] >= _RECALLS]
            points = list(zip(reached.tolist(), curve.at(reached).tolist(), strict=True))
            series[label] = [*points, (float(reached[-1]), 0.0)]
    if not series:
        return None
    return line_plot(
        series,
        {label: colors.css(label) for label in series},
        (0.0, 1.0),
        top=1.0,
        below=("recall 0", "0.5", "1"),
    )


def _notes(measured: Mapping[str, Any]) -> Iterator[str]:
    """Say what the figures rest on, and what of the truth they leave out."""
    for kind, counts in (measured.get("frames") or {}).items():
        name = _KINDS.get(kind, kind)
        yield f"{counts['matched']} frames have both {name} and truth" + "".join(
            f", {counts[key]} {text}" for key, text in _ALONE.items() if counts[key]
        )
    if unknown := measured.get("unknown_labels"):
        classes = ", ".join(f"{label} ({count})" for label, count in unknown.items())
        yield f"not counted, as the model does not know these classes: {classes}"
