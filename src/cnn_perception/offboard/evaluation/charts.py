"""Charts of what was measured: precision over recall, and what was taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cnn_perception.image.draw import Color, palette
from cnn_perception.image.sheet import FAINT, GRID, INK, Sheet, text_width
from cnn_perception.metrics.average_precision import PrecisionRecall, all_point_ap
from cnn_perception.types import Float64Array, UInt8Array

__all__ = ["confusion_chart", "precision_recall_chart"]

_PLOT = (74, 66, 520, 440)  # x, y, width and height of the axes, pixels
_RECALLS = np.linspace(0, 1, 201)
_MOST_CURVES = 16
_MOST_CLASSES = 40
_DEEP = np.array([22.0, 78.0, 152.0])  # the color of a share of 1


def precision_recall_chart(
    curves: Mapping[str, PrecisionRecall], title: str, colors: UInt8Array | None = None
) -> UInt8Array:
    """Return the curves of classes with objects, with their average precision, and their mean.

    Drawn is the envelope, whose area is the average precision. Of more than 16 classes the best and
    the worst eight have colors and names. colors: uint8 (classes, 3), by default `palette`.
    """
    shades = palette(len(curves)) if colors is None else colors
    areas = {name: all_point_ap(curve) for name, curve in curves.items()}
    ranked = sorted(curves, key=lambda name: -areas[name])
    half = _MOST_CURVES // 2
    named = ranked if len(ranked) <= _MOST_CURVES else [*ranked[:half], *ranked[-half:]]
    color_of = {
        name: _rgb(shades[k % len(shades)]) for k, name in enumerate(curves) if name in named
    }
    legend = max([text_width(name, 8) for name in named] + [text_width("mean", 8)]) + 86
    x, y, width, height = _PLOT
    sheet = Sheet(round(x + width + 24 + legend), y + height + 62)
    _axes(sheet, title)
    for name in sorted(curves, key=lambda name: name in named):
        sheet.line(_envelope(curves[name]), color_of.get(name, GRID), 1.5)
    mean = np.mean([curve.at(_RECALLS) for curve in curves.values()], axis=0)
    sheet.line(_to_plot(_RECALLS, mean), INK, 2.6)
    left, line = x + width + 24, min(22.0, (height - 10) / (len(named) + 2))
    _entry(sheet, left, y + 10, "mean", float(np.mean(list(areas.values()))), INK, 2.6)
    for row, name in enumerate(named):
        gap = 1.5 if row < half or len(named) == len(ranked) else 2.2
        _entry(sheet, left, y + 10 + (row + gap) * line, name, areas[name], color_of[name], 2)
    return sheet.finished()


def confusion_chart(confusion: NDArray[np.int64], labels: Sequence[str], title: str) -> UInt8Array:
    """Return a matrix of the share of each true class (row) that got each answer (column).

    Shown are classes that occur in truth or answers, and of more than 40 those with most mistakes.
    """
    mistakes = confusion.sum(0) + confusion.sum(1) - 2 * np.diag(confusion)
    occurs = np.flatnonzero(confusion.sum(0) + confusion.sum(1))
    order = occurs[np.argsort(-mistakes[occurs], kind="stable")][:_MOST_CLASSES]
    shown = np.sort(order)
    total = confusion.sum(1, keepdims=True)[shown]
    shares = confusion[np.ix_(shown, shown)] / np.maximum(total, 1)
    names = [labels[k] for k in shown]
    cell = float(np.clip(640 / max(len(shown), 1), 17, 46))
    margin = max([text_width(name, 8) for name in names], default=0) + 44
    side = cell * len(shown)
    top = margin + 56
    sheet = Sheet(
        round(max(margin + side + 30, text_width(title, 11) + 48)), round(top + side + 46)
    )
    sheet.text(title, 24, 26, height=11, bold=True)
    sheet.text("answer, % of the truth", margin, 48, height=8, color=FAINT)
    sheet.text("truth", 18, top + side / 2, height=8, color=FAINT, anchor="middle", upwards=True)
    for row, name in enumerate(names):
        middle = cell * (row + 0.5)
        sheet.text(name, margin - 8, top + middle, height=8, anchor="right")
        sheet.text(name, margin + middle, top - 8, height=8, upwards=True)
        for column, share in enumerate(shares[row].tolist()):
            left, upper = margin + cell * column, top + cell * row
            sheet.fill(left, upper, cell - 1, cell - 1, _rgb(255 - (255 - _DEEP) * share**0.6))
            if share >= 0.005 and cell >= 22:
                ink = (255, 255, 255) if share > 0.35 else INK
                number = f"{100 * share:.0f}"
                place = (left + (cell - 1) / 2, upper + (cell - 1) / 2)
                sheet.text(number, *place, height=7.5, color=ink, anchor="middle")
    if len(shown) < len(occurs):
        note = f"the {len(shown)} of {len(occurs)} classes with most mistakes"
        sheet.text(note, margin, top + side + 22, height=8, color=FAINT)
    return sheet.finished()


def _axes(sheet: Sheet, title: str) -> None:
    x, y, width, height = _PLOT
    sheet.text(title, 24, 28, height=11, bold=True)
    for tick in np.linspace(0, 1, 6).tolist():
        across, up = _to_plot(np.array([tick]), np.array([tick]))[0]
        sheet.line([(across, y), (across, y + height)], GRID, 1)
        sheet.line([(x, up), (x + width, up)], GRID, 1)
        sheet.text(f"{tick:.1f}", across, y + height + 16, height=8, color=FAINT, anchor="middle")
        sheet.text(f"{tick:.1f}", x - 10, up, height=8, color=FAINT, anchor="right")
    sheet.line([(x, y), (x, y + height), (x + width, y + height)], FAINT, 1)
    sheet.text("recall", x + width / 2, y + height + 40, anchor="middle")
    sheet.text("precision", 22, y + height / 2, anchor="middle", upwards=True)


def _entry(
    sheet: Sheet, x: float, y: float, name: str, area: float, color: Color, width: float
) -> None:
    """Write a line of the legend."""
    sheet.line([(x, y), (x + 20, y)], color, width)
    sheet.text(f"{area:.2f}", x + 28, y, height=8, color=FAINT)
    sheet.text(name, x + 62, y, height=8)


def _envelope(curve: PrecisionRecall) -> Float64Array:
    """Return (N, 2) places of the steps of a class's envelope."""
    rises = np.flatnonzero(np.diff(curve.recall, prepend=0.0) > 0)
    reached, best = curve.recall[rises], curve.envelope()[rises]
    starts = np.concatenate([[0.0], reached[:-1]])[: len(reached)]
    recall = np.stack([starts, reached], axis=1).ravel()
    # Beyond the last recall there is nothing.
    recall = np.append(recall, reached[-1:] if len(reached) else 0.0)
    return _to_plot(recall, np.append(np.repeat(best, 2), 0.0))


def _to_plot(recall: Float64Array, precision: Float64Array) -> Float64Array:
    x, y, width, height = _PLOT
    return np.stack([x + width * recall, y + height * (1 - precision)], axis=1)


def _rgb(color: NDArray[np.generic]) -> Color:
    red, green, blue = np.rint(np.asarray(color, np.float64)).astype(int).tolist()
    return red, green, blue
