"""Sheets: where words, dots and pictures land."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.image.sheet import Sheet, flow, text_width

BLUE = (10, 20, 200)


@pytest.mark.parametrize("anchor", ["left", "middle", "right"])
@pytest.mark.parametrize("upwards", [False, True])
def test_text_stands_where_it_is_told(anchor: str, upwards: bool) -> None:
    sheet = Sheet(200, 200)
    sheet.text("HUGE", 100, 100, height=20, anchor=anchor, upwards=upwards)  # type: ignore[arg-type]
    ink = np.argwhere(sheet.finished().min(-1) < 128)
    (top, left), (bottom, right) = ink.min(0), ink.max(0)
    if upwards:
        top, left, bottom, right = left, 200 - bottom, right, 200 - top
    low = {"left": 100, "middle": 100 - text_width("HUGE", 20) / 2, "right": 0}[anchor]
    if anchor == "right":
        low = 100 - text_width("HUGE", 20)
    assert abs(left - low) < 6 and abs(right - low - text_width("HUGE", 20)) < 6
    assert abs((top + bottom) / 2 - 100) < 5 and 14 < bottom - top < 26


def test_dots_are_round_and_where_they_are_told() -> None:
    sheet = Sheet(60, 40)
    sheet.dot(20, 15, 8, BLUE)
    drawn = sheet.finished()
    rows, columns = np.nonzero((drawn == BLUE).all(-1))
    assert abs(rows.mean() - 14.5) < 0.5 and abs(columns.mean() - 19.5) < 0.5
    assert len(rows) == pytest.approx(np.pi * 8**2, rel=0.15)
    assert (drawn[8, 13] == 255).all()


def test_pictures_keep_every_pixel() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    sheet = Sheet(20, 20)
    sheet.picture(picture, 4, 9)
    drawn = sheet.finished()
    np.testing.assert_array_equal(drawn[9:16, 4:9], picture)
    assert (drawn[:9] == 255).all() and (drawn[:, 9:] == 255).all()


def test_a_swatch_has_its_color_before_its_words() -> None:
    sheet = Sheet(100, 20)
    sheet.swatch(BLUE, "word", 5, 10)
    drawn = sheet.finished()
    assert drawn[10, 11].tolist() == list(BLUE)
    assert (drawn[:, 24:].min(-1) < 128).any()


def test_entries_flow_like_words() -> None:
    places, rows = flow([40, 50, 30, 200, 10], 100)
    assert places == [(0, 0), (40, 0), (0, 1), (0, 2), (0, 3)]
    assert rows == 4
