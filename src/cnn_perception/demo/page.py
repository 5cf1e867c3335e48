"""The report: one HTML file that needs nothing else, pictures and chart included."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from jinja2 import Environment, StrictUndefined

import cnn_perception
from cnn_perception.demo.outcome import DemoOutcome
from cnn_perception.demo.pictures import Moment
from cnn_perception.demo.template import TEMPLATE
from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.types import UInt8Array

__all__ = ["Latencies", "render_page"]

Latencies = Mapping[str, Sequence[tuple[float, float]]]
"""By node: seconds since the first image, milliseconds from sending an image to its result."""

_WIDTH, _HEIGHT, _MARGIN = 640, 200, 34
_PERCENTILE = 0.99


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    points: str
    median: float


def render_page(
    title: str,
    outcome: DemoOutcome,
    moments: Sequence[Moment],
    maps: Mapping[str, UInt8Array],
    latencies: Latencies,
    span_ns: tuple[int, int],
) -> str:
    """Return the page as HTML; `span_ns` are the stamps at which the drive starts and ends."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    start_ns, end_ns = span_ns
    rows = [
        {
            "seconds": (moment.stamp_ns - start_ns) / 1e9,
            "pictures": {name: _jpeg(picture) for name, picture in moment.pictures.items()},
        }
        for moment in moments
    ]
    top = _ceiling(latencies)
    return environment.from_string(TEMPLATE).render(
        title=title,
        version=cnn_perception.__version__,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        outcome=outcome,
        summary=outcome.summary(),
        rows=rows,
        maps={name: _png(picture) for name, picture in maps.items()},
        lines=_lines(latencies, top),
        top=top,
        seconds=(end_ns - start_ns) / 1e9,
        chart=(_WIDTH, _HEIGHT, _MARGIN),
    )


def _jpeg(picture: UInt8Array) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(picture, 85)).decode()}"


def _png(picture: UInt8Array) -> str:
    return f"data:image/png;base64,{base64.b64encode(encode_png(picture, 9)).decode()}"


def _ceiling(latencies: Latencies) -> float:
    """Return the top of the chart, ms: nearly all points fit under it, and it is a round number."""
    values = sorted(ms for series in latencies.values() for _, ms in series)
    if not values:
        return 1.0
    wanted = values[min(len(values) - 1, int(_PERCENTILE * len(values)))] * 1.1
    return float(next(step for step in _round_numbers() if step >= wanted))


def _round_numbers() -> Sequence[float]:
    return [digit * 10.0**power for power in range(-1, 7) for digit in (1, 2, 5)]


def _lines(latencies: Latencies, top: float) -> list[_Line]:
    span = max((t for series in latencies.values() for t, _ in series), default=0.0) or 1.0
    lines = []
    for name, series in latencies.items():
        if not series:
            continue
        points = " ".join(
            f"{_MARGIN + t / span * (_WIDTH - _MARGIN):.1f},"
            f"{(1 - min(ms / top, 1.0)) * _HEIGHT:.1f}"
            for t, ms in series
        )
        ordered = sorted(ms for _, ms in series)
        lines.append(_Line(name, points, ordered[len(ordered) // 2]))
    return lines
