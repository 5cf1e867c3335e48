"""The box in which points are used."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.mapping.crop import CropConfig, inside_crop


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", ["min", "max"])
def test_each_limit_cuts_its_own_side(axis: int, side: str) -> None:
    points = np.zeros((5, 3), np.float32)
    points[:, axis] = [-2, -1, 0, 1, 2]
    limit = -1.0 if side == "min" else 1.0
    inside = inside_crop(points, CropConfig(**{f"{side}_{'xyz'[axis]}": limit}))
    kept = [-1, 0, 1, 2] if side == "min" else [-2, -1, 0, 1]
    assert points[inside, axis].tolist() == kept


def test_the_defaults_keep_what_is_finite_within_100_m_of_height() -> None:
    points = np.float32(
        [[3e38, -3e38, 100], [0, 0, 100.1], [0, 0, -101], [np.inf, 0, 0], [0, np.nan, 0]]
    )
    assert inside_crop(points, CropConfig()).tolist() == [True, False, False, False, False]


def test_nan_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_x = nan"):
        CropConfig(max_x=float("nan"))
