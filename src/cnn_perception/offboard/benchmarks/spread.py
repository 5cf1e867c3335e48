"""Measured times in a few figures."""

from __future__ import annotations

import numpy as np

from cnn_perception.types import Float64Array

__all__ = ["spread"]


def spread(times: Float64Array) -> dict[str, float]:
    """Return median, minimum, interquartile range and 95th percentile, as JSON can hold them."""
    quarter, median, three_quarters, p95 = np.percentile(times, [25, 50, 75, 95])
    values = {
        "median": median,
        "min": times.min(),
        "interquartile_range": three_quarters - quarter,
        "p95": p95,
    }
    return {name: round(float(value), 3) for name, value in values.items()}
