"""Line plots for pages: as wide as the page, with labels that keep their size.

``plot.html.jinja`` has the macros that draw them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["NODE_COLORS", "Plot", "PlotLine", "line_plot", "round_ceiling"]

NODE_COLORS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)")
"""Colors of the style for few lines, in this order."""

_WIDTH, _HEIGHT = 1000, 200
_PERCENTILE = 0.99


@dataclass(frozen=True, slots=True)
class PlotLine:
    """One line: its name, a CSS color, its places as SVG writes them, a word for the legend."""

    name: str
    color: str
    points: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over a grid. ticks: height in [0, 1] and text; below: texts along the x axis."""

    lines: tuple[PlotLine, ...]
    ticks: tuple[tuple[float, str], ...]
    below: tuple[str, ...]
    size: tuple[int, int] = (_WIDTH, _HEIGHT)


def line_plot(
    series: Mapping[str, Sequence[tuple[float, float]]],
    colors: Mapping[str, str],
    span: tuple[float, float],
    *,
    top: float,
    below: Sequence[str],
    notes: Mapping[str, str] | None = None,
) -> Plot:
    """Return the plot of series of (x, y); x spans `span`, y goes from 0 to `top` and is cut there.

    Series without points are left out.
    """
    first, last = span
    width = (last - first) or 1.0
    lines = [
        PlotLine(
            name,
            colors[name],
            " ".join(
                f"{(x - first) / width * _WIDTH:.1f},{(1 - min(y / top, 1.0)) * _HEIGHT:.1f}"
                for x, y in points
            ),
            (notes or {}).get(name, ""),
        )
        for name, points in series.items()
        if points
    ]
    ticks = tuple((share, f"{share * top:g}") for share in (0.0, 0.5, 1.0))
    return Plot(tuple(lines), ticks, tuple(below))


def round_ceiling(values: Sequence[float]) -> float:
    """Return a round number above nearly all values: the top of their plot; 1 for none."""
    ordered = sorted(values)
    if not ordered:
        return 1.0
    wanted = ordered[min(len(ordered) - 1, int(_PERCENTILE * len(ordered)))] * 1.1
    steps = (digit * 10.0**power for power in range(-3, 9) for digit in (1, 2, 5))
    return next((step for step in steps if step >= wanted), wanted)
