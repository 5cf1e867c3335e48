"""The tables that ``cnn-perception evaluate`` prints of its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from cnn_perception.cli.terminal import figures_table, print_lines

__all__ = ["print_report"]

_NAMES = {
    "map_50": "mAP@0.5",
    "map_50_95": "mAP@[.5:.95]",
    "map_75": "mAP@0.75",
    "map_small": "mAP small",
    "map_medium": "mAP medium",
    "map_large": "mAP large",
    "ar_100": "AR@100",
    "miou": "mean IoU",
    "mean_accuracy": "mean accuracy",
    "pixel_accuracy": "pixel accuracy",
    "frequency_weighted_iou": "weighted IoU",
    "top_1": "top-1",
    "top_5": "top-5",
}
_CLASS_NAMES = {"ap_50": "AP@0.5", "ap_50_95": "AP@[.5:.95]", "iou": "IoU"}
_HIDDEN = {"ap_50_2007", "ap_75", "ar_100"}
_AREAS = {"small": "below 32²", "medium": "32² to 96²", "large": "above 96²"}
_MOST_NAMES = 12
_MOST_ROWS = 100


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print the headline figures, those by class and by size, and what did not count."""
    data = report["data"]
    title = f"{report['model']} {report['version']} on {data['images']} images of {data['source']}"
    print_lines(console, title, style="bold")
    figures = {_NAMES[name]: value for name, value in report["figures"].items()}
    console.print(_table("", figures, [("", figures.values())]))
    if "sizes" in report:
        console.print(_size_table(report["sizes"]))
    console.print(_class_table(report["classes"]))
    for key, words in (
        ("only_in_data", "only in the data"),
        ("only_in_bundle", "only in the bundle"),
    ):
        if data[key]:
            print_lines(console, f"{words} (not counted): {_listed(data[key])}", wrap=True)
    print_lines(console, *(f"skipped: {reason}" for reason in data["broken"].values()))


def _class_table(classes: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per class that occurs, the best first; of very many the best and the worst."""
    columns = [name for name in next(iter(classes.values())) if name not in _HIDDEN]
    count, first = columns[0], columns[1]
    known = {label: row for label, row in classes.items() if row[first] is not None or row[count]}
    ranked = sorted(known.items(), key=lambda item: -(item[1][first] or 0))
    heads = [*columns[1:], count]
    rows = [(label, [row[name] for name in heads]) for label, row in ranked]
    half = _MOST_ROWS // 2
    if len(rows) > _MOST_ROWS:
        rows = [*rows[:half], (f"... {len(rows) - 2 * half} more", []), *rows[-half:]]
    return _table("by class", [_CLASS_NAMES.get(name, name) for name in heads], rows)


def _size_table(sizes: Mapping[str, Mapping[str, Any]]) -> Table:
    heads = ["pixels", "mAP@0.5", "mAP@[.5:.95]", "AR@100", "objects"]
    keys = ("map_50", "map_50_95", "ar_100", "objects")
    return _table(
        "by size",
        heads,
        [(size, [words, *(sizes[size][key] for key in keys)]) for size, words in _AREAS.items()],
    )


def _table(title: str, heads: Iterable[str], rows: Iterable[tuple[str, Iterable[Any]]]) -> Table:
    table = figures_table(title, "", heads)
    for name, values in rows:
        table.add_row(name, *(_shown(value) for value in values))
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
