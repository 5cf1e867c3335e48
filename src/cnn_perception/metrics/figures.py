"""Means of figures of which some are unknown, and figures as YAML and JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cnn_perception.types import Float64Array

__all__ = ["by_name", "known_mean", "rounded", "rounded_all"]


def known_mean(values: Float64Array) -> float:
    """Return the mean of the numbers among `values`; NaN when there is none."""
    known = values[values == values]
    return float(known.mean()) if known.size else float("nan")


def rounded(figure: float) -> float | None:
    """Return a figure with four decimals, and None for NaN, which YAML and JSON do not share."""
    return None if math.isnan(figure) else round(float(figure), 4)


def rounded_all(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return `rounded` figures."""
    return {name: rounded(figure) for name, figure in figures.items()}


def by_name(labels: Sequence[str], figures: Float64Array) -> dict[str, float | None]:
    """Return `rounded` figures of classes."""
    return rounded_all(dict(zip(labels, figures.tolist(), strict=True)))
