"""Tables of images and curves of losses: what is drawn where."""

from __future__ import annotations

import numpy as np

from cnn_perception.image.draw import palette
from cnn_perception.image.sheet import text_width
from cnn_perception.offboard.explain_methods.optimisation_charts import draw_losses, draw_table

AXES = (74, 50, 520, 300)  # x, y, width, height


def _has(picture: np.ndarray, x: float, y: float, color: np.ndarray) -> bool:
    part = picture[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].astype(int)
    return bool((np.abs(part - color).max(-1) < 60).any())


def test_pictures_stand_in_rows_below_their_columns() -> None:
    shades = [np.full((90, 120, 3), shade, np.uint8) for shade in (50, 100, 150, 200)]
    table = draw_table(["one", "two"], {"first": shades[:2], "second": shades[2:]})
    left = round(max(text_width("first", 9), text_width("second", 9))) + 20
    # Twice as large, so that the shorter side has 180 pixels.
    assert table.shape == (30 + 2 * 190, left + 2 * 250, 3)
    corners = [(30, left), (30, left + 250), (220, left), (220, left + 250)]
    for (y, x), shade in zip(corners, (50, 100, 150, 200), strict=True):
        assert (table[y : y + 180, x : x + 240] == shade).all()
    assert (table[:30, left:] < 200).any() and (table[30:210, : left - 10] < 200).any()


def test_curves_are_on_a_logarithmic_scale() -> None:
    x, y, width, height = AXES
    losses = {"one": np.array([1.0, 0.1, 0.01]), "two": np.full(3, 0.1)}
    chart = draw_losses(losses, "title")
    one, two = palette(2).astype(int)
    for step, share in ((0, 0.0), (1, 0.5), (2, 1.0)):
        assert _has(chart, x + width * step / 2, y + height * share, one)
    assert _has(chart, x + 0.25 * width, y + 0.5 * height, two)
    assert not _has(chart, x + 0.25 * width, y + 0.5 * height, one)


def test_losses_that_are_zero_or_small_are_at_the_lower_edge() -> None:
    x, y, width, height = AXES
    (color,) = palette(1).astype(int)
    chart = draw_losses({"zero": np.array([1.0, 1e-20, 0.0])}, "title")
    assert _has(chart, x + 0.75 * width, y + height, color)
    assert draw_losses({"nothing": np.zeros(2)}, "title").ndim == 3
