"""The report: one HTML file that needs nothing else, pictures and chart included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

import cnn_perception
from cnn_perception.demo.outcome import DemoOutcome
from cnn_perception.demo.pictures import Moment
from cnn_perception.html.document import jpeg_uri, png_uri, render
from cnn_perception.html.plot import NODE_COLORS, Plot, line_plot, round_ceiling
from cnn_perception.types import UInt8Array

__all__ = ["Latencies", "render_page"]

Latencies = Mapping[str, Sequence[tuple[float, float]]]
"""By node: seconds since the first image, milliseconds from sending an image to its result."""


def render_page(
    title: str,
    outcome: DemoOutcome,
    moments: Sequence[Moment],
    maps: Mapping[str, UInt8Array],
    latencies: Latencies,
    span_ns: tuple[int, int],
) -> str:
    """Return the page as HTML; `span_ns` are the stamps at which the drive starts and ends."""
    start_ns, end_ns = span_ns
    rows = [
        {
            "seconds": (moment.stamp_ns - start_ns) / 1e9,
            "pictures": {name: jpeg_uri(picture) for name, picture in moment.pictures.items()},
        }
        for moment in moments
    ]
    seconds = (end_ns - start_ns) / 1e9
    return render(
        "demo/page.html.jinja",
        title=title,
        version=cnn_perception.__version__,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        outcome=outcome,
        summary=outcome.summary(),
        rows=rows,
        maps={name: png_uri(picture) for name, picture in maps.items()},
        plot=_plot(latencies, seconds),
        seconds=seconds,
    )


def _plot(latencies: Latencies, seconds: float) -> Plot:
    span = max((t for series in latencies.values() for t, _ in series), default=0.0)
    medians = {
        name: sorted(ms for _, ms in series)[len(series) // 2]
        for name, series in latencies.items()
        if series
    }
    return line_plot(
        latencies,
        {name: NODE_COLORS[k % len(NODE_COLORS)] for k, name in enumerate(latencies)},
        (0.0, span),
        top=round_ceiling([ms for series in latencies.values() for _, ms in series]),
        below=("0 s", f"{seconds:.0f} s"),
        notes={name: f"median {median:.1f}" for name, median in medians.items()},
    )
